-- Statements of the projection engine. Parameters by name; the role is the projector unless the purpose line says another.

-- name: activate
-- Makes version 1 the one that is read, where none was chosen yet.
INSERT INTO projection_active (projection, version) VALUES (%(projection)s, 1) ON CONFLICT DO NOTHING

-- name: active_version
-- Which version is read.
SELECT version FROM projection_active WHERE projection = %(projection)s

-- name: switch
-- From now on this version is read.
UPDATE projection_active SET version = %(version)s WHERE projection = %(projection)s

-- name: newest_version
-- The highest version that has left a trace.
SELECT greatest(
  (SELECT max(version) FROM projection_active WHERE projection = %(projection)s),
  (SELECT max(version) FROM projection_checkpoint WHERE projection = %(projection)s))

-- name: lock_checkpoint
-- The checkpoint of one version, or of the active one, held until the end of the transaction: one writer a projection and workspace.
SELECT version, epoch, "offset", failure, unknown_events
FROM projection_checkpoint
WHERE ws = %(ws)s AND projection = %(projection)s
  AND version = coalesce(%(version)s::integer, (SELECT version FROM projection_active WHERE projection = %(projection)s))
FOR UPDATE

-- name: begin_checkpoint
-- A workspace that this version has not read yet.
INSERT INTO projection_checkpoint (ws, projection, version, epoch, "offset")
SELECT %(ws)s, %(projection)s, coalesce(%(version)s::integer, a.version), 0, 0 FROM projection_active a WHERE a.projection = %(projection)s
ON CONFLICT DO NOTHING

-- name: move_checkpoint
-- Read up to here, in the transaction that wrote the rows.
UPDATE projection_checkpoint
SET epoch = %(epoch)s, "offset" = %(offset)s, events = events + %(events)s, unknown_events = unknown_events + %(unknown)s,
    failure = %(failure)s, updated_at = headway_now()
WHERE ws = %(ws)s AND projection = %(projection)s AND version = %(version)s

-- name: restart_checkpoint
-- Begins anew, after the rows were dropped.
UPDATE projection_checkpoint
SET epoch = 0, "offset" = 0, events = 0, unknown_events = 0, failure = '', updated_at = headway_now()
WHERE ws = %(ws)s AND projection = %(projection)s AND version = %(version)s

-- name: end_checkpoint
-- This version reads this workspace no more; waits for a batch that is being written.
DELETE FROM projection_checkpoint WHERE ws = %(ws)s AND projection = %(projection)s AND version = %(version)s

-- name: freshness
-- Role app: the head of the log beside the active version's checkpoint.
SELECT h.epoch, h."offset", c.epoch, c."offset", c.failure, c.unknown_events
FROM workspace_head h
LEFT JOIN projection_active a ON a.projection = %(projection)s
LEFT JOIN projection_checkpoint c ON c.ws = h.ws AND c.projection = a.projection AND c.version = a.version
WHERE h.ws = %(ws)s

-- name: behind
-- Role dispatcher: workspaces of these shards whose active checkpoint lies behind their log.
SELECT w.ws
FROM workspace w
JOIN workspace_head h ON h.ws = w.ws
JOIN projection_active a ON a.projection = %(projection)s
LEFT JOIN projection_checkpoint c ON c.ws = w.ws AND c.projection = a.projection AND c.version = a.version
WHERE w.shard = ANY (%(shards)s) AND h."offset" > coalesce(c."offset", 0)

-- name: workspaces
-- Role dispatcher: every workspace that has a log.
SELECT ws FROM workspace_head WHERE "offset" > 0 ORDER BY ws

-- name: first_offset
-- The oldest event that the log still holds; nothing when it is empty.
SELECT min(first_offset) FROM segment_index WHERE ws = %(ws)s
