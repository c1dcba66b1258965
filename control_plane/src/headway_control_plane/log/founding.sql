-- Statements that create a workspace.

-- name: find_workspace
-- As headway_auth: the directory's row by name.
SELECT ws, id, name, shard FROM workspace WHERE name = %s

-- name: enter_workspace
-- As headway_committer: whoever comes second changes nothing.
INSERT INTO workspace (id, name, shard) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING

-- name: enter_head
-- The place before the first event.
INSERT INTO workspace_head (ws, chain) VALUES (%s, %s) ON CONFLICT DO NOTHING
