-- Statements of the table `subflow`, which the read model `task_timeline` keeps beside its calls. Role projector.

-- name: load_subflows
-- The rows of the sub-flows that a batch speaks of.
SELECT s.run, s.call, s.place, s.fence, s.parent, s.name, s.status, s.first_offset, s.started_at, s.ended_at, s.error_class, s.error_text
FROM json_to_recordset(%(rows)s::json) AS wanted (run uuid, call bytea)
JOIN subflow s ON s.ws = %(ws)s AND s.version = %(version)s AND s.run = wanted.run AND s.call = wanted.call

-- name: load_under_way
-- The sub-flows under way in runs of which an attempt ends in a batch.
SELECT s.run, s.call, s.place, s.fence, s.parent, s.name, s.status, s.first_offset, s.started_at, s.ended_at, s.error_class, s.error_text
FROM json_to_recordset(%(rows)s::json) AS wanted (run uuid)
JOIN subflow s ON s.ws = %(ws)s AND s.version = %(version)s AND s.run = wanted.run
WHERE s.status IN ('running', 'retrying', 'paused')

-- name: count_subflows
-- How many sub-flows of each of these runs are listed.
SELECT s.run, count(*)
FROM json_to_recordset(%(rows)s::json) AS wanted (run uuid)
JOIN subflow s ON s.ws = %(ws)s AND s.version = %(version)s AND s.run = wanted.run
GROUP BY s.run

-- name: store_subflows
-- The folded rows, whole; a sub-flow's place stays.
INSERT INTO subflow (ws, version, run, call, place, fence, parent, name, status, first_offset, started_at, ended_at, error_class, error_text)
SELECT %(ws)s, %(version)s, r.*
FROM json_to_recordset(%(rows)s::json) AS r (run uuid, call bytea, place uuid, fence bigint, parent bytea, name text, status text,
  first_offset bigint, started_at timestamptz, ended_at timestamptz, error_class text, error_text bytea)
ON CONFLICT (ws, version, run, call) DO UPDATE SET
  fence = excluded.fence, parent = excluded.parent, name = excluded.name, status = excluded.status, first_offset = excluded.first_offset,
  started_at = excluded.started_at, ended_at = excluded.ended_at, error_class = excluded.error_class, error_text = excluded.error_text
