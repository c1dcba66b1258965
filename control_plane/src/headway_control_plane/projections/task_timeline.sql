-- Statements of the read model `task_timeline`: calls of tasks and sub-flows, ranges of them, and their sums by attempt. Role projector.
-- Rows come as one JSON text each statement: a hundred times less work for the client than an array for each column.

-- name: load_calls
-- The rows of the calls that a batch speaks of.
SELECT t.run, t.fence, t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries,
       t.error_class, t.error_text, t.result, t.calls, t.run_name, t.busy_us, t.median_us, t.longest_us, t.packed
FROM json_to_recordset(%(rows)s::json) AS wanted (run uuid, fence bigint, call bytea)
JOIN task_timeline t ON t.ws = %(ws)s AND t.version = %(version)s AND t.run = wanted.run AND t.fence = wanted.fence AND t.call = wanted.call

-- name: load_under_way
-- The calls still under way in attempts that end in a batch.
SELECT t.run, t.fence, t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries,
       t.error_class, t.error_text, t.result, t.calls, t.run_name, t.busy_us, t.median_us, t.longest_us, t.packed
FROM json_to_recordset(%(rows)s::json) AS wanted (run uuid, fence bigint)
JOIN task_timeline t ON t.ws = %(ws)s AND t.version = %(version)s AND t.run = wanted.run AND t.fence = wanted.fence
WHERE t.status IN ('running', 'retrying', 'paused')

-- name: store_calls
-- The folded rows, whole.
INSERT INTO task_timeline (ws, version, run, fence, call, parent, kind, name, status, first_offset, started_at, ended_at, tries, retries,
  error_class, error_text, result, calls, run_name, busy_us, median_us, longest_us, packed)
SELECT %(ws)s, %(version)s, r.*
FROM json_to_recordset(%(rows)s::json) AS r (run uuid, fence bigint, call bytea, parent bytea, kind text, name text, status text,
  first_offset bigint, started_at timestamptz, ended_at timestamptz, tries integer, retries jsonb, error_class text, error_text bytea,
  result jsonb, calls integer, run_name bytea, busy_us bigint, median_us bigint, longest_us bigint, packed bytea)
ON CONFLICT (ws, version, run, fence, call) DO UPDATE SET
  parent = excluded.parent, kind = excluded.kind, name = excluded.name, status = excluded.status, first_offset = excluded.first_offset,
  started_at = excluded.started_at, ended_at = excluded.ended_at, tries = excluded.tries, retries = excluded.retries,
  error_class = excluded.error_class, error_text = excluded.error_text, result = excluded.result,
  calls = excluded.calls, run_name = excluded.run_name, busy_us = excluded.busy_us, median_us = excluded.median_us,
  longest_us = excluded.longest_us, packed = excluded.packed

-- name: add_counts
-- By how much the batch moved the sums of each attempt.
INSERT INTO task_counts AS c (ws, version, run, fence, running, retrying, completed, failed, cancelled, skipped, interrupted, paused)
SELECT %(ws)s, %(version)s, d.*
FROM json_to_recordset(%(rows)s::json) AS d (run uuid, fence bigint, running integer, retrying integer, completed integer, failed integer,
  cancelled integer, skipped integer, interrupted integer, paused integer)
ON CONFLICT (ws, version, run, fence) DO UPDATE SET
  running = c.running + excluded.running, retrying = c.retrying + excluded.retrying, completed = c.completed + excluded.completed,
  failed = c.failed + excluded.failed, cancelled = c.cancelled + excluded.cancelled, skipped = c.skipped + excluded.skipped,
  interrupted = c.interrupted + excluded.interrupted, paused = c.paused + excluded.paused
