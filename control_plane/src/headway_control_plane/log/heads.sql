-- Where logs end.

-- name: heads
-- All followed workspaces at once, as headway_projector.
SELECT ws, epoch, "offset" FROM workspace_head WHERE ws = ANY (current_setting('app.workspaces')::bigint[])
