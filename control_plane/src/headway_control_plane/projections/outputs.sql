-- Artifacts and metrics, as rows of the read model `task_timeline`. Role projector.

-- name: load_artifacts
-- The artifacts that a batch names.
SELECT a.run, a.id
FROM json_to_recordset(%(rows)s::json) AS wanted (run uuid, id bytea)
JOIN artifact a ON a.ws = %(ws)s AND a.version = %(version)s AND a.run = wanted.run AND a.id = wanted.id

-- name: load_latest
-- The latest artifacts of the keys that a batch names.
SELECT a.key, a.number, a.run, a.id, a.kind, a.media_type, a.content, a.description
FROM json_to_recordset(%(rows)s::json) AS wanted (key text)
JOIN artifact a ON a.ws = %(ws)s AND a.version = %(version)s AND a.key = wanted.key AND a.latest

-- name: outdate
-- Artifacts that newer ones have followed.
UPDATE artifact a SET latest = false
FROM json_to_recordset(%(rows)s::json) AS old (run uuid, id bytea)
WHERE a.ws = %(ws)s AND a.version = %(version)s AND a.run = old.run AND a.id = old.id AND a.latest

-- name: add_artifacts
-- New artifacts.
INSERT INTO artifact (ws, version, run, id, fence, call, kind, key, number, latest, media_type, size_bytes, content, description, percent,
  first_offset, saved_at, updated_at)
SELECT %(ws)s, %(version)s, r.*
FROM json_to_recordset(%(rows)s::json) AS r (run uuid, id bytea, fence bigint, call bytea, kind text, key text, number bigint, latest boolean,
  media_type text, size_bytes bigint, content bytea, description bytea, percent double precision, first_offset bigint, saved_at timestamptz,
  updated_at timestamptz)

-- name: move_progress
-- Progress that has moved on.
UPDATE artifact a SET percent = r.percent, updated_at = r.updated_at
FROM json_to_recordset(%(rows)s::json) AS r (run uuid, id bytea, percent double precision, updated_at timestamptz)
WHERE a.ws = %(ws)s AND a.version = %(version)s AND a.run = r.run AND a.id = r.id

-- name: drop_points
-- Points of a try of a call that the next try replaces.
DELETE FROM metric_batch m
USING json_to_recordset(%(rows)s::json) AS r (run uuid, series bytea, call bytea)
WHERE m.ws = %(ws)s AND m.version = %(version)s AND m.run = r.run AND m.series = r.series AND m.call = r.call

-- name: add_points
-- Batches of points.
INSERT INTO metric_batch (ws, version, run, series, call, first, recorded, name, unit, first_offset, told_at, kept, lowest, highest, newest,
  points, times, steps)
SELECT %(ws)s, %(version)s, r.*
FROM json_to_recordset(%(rows)s::json) AS r (run uuid, series bytea, call bytea, first bigint, recorded bigint, name text, unit text,
  first_offset bigint, told_at timestamptz, kept integer, lowest double precision, highest double precision, newest double precision,
  points double precision[], times bigint[], steps bigint[])
ON CONFLICT (ws, version, run, series, call, first) DO NOTHING
