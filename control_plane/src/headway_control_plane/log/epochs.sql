-- Statements that begin a new epoch.

-- name: workspaces
-- As headway_auth: all of them.
SELECT ws, name FROM workspace

-- name: begin_epochs
-- As headway_committer. Waits for flushes that are under way, and they for it.
UPDATE workspace_head SET epoch = epoch + 1 RETURNING ws, epoch, "offset"
