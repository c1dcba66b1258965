-- Statements of the read model `task_timeline`: calls of tasks and sub-flows, and their sums by attempt. Role projector.

-- name: load_calls
-- The rows of the calls that a batch speaks of.
SELECT t.run, t.fence, t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries,
       t.error_class, t.error_text, t.result
FROM unnest(%(runs)s::uuid[], %(fences)s::bigint[], %(calls)s::bytea[]) AS wanted (run, fence, call)
JOIN task_timeline t ON t.ws = %(ws)s AND t.version = %(version)s AND t.run = wanted.run AND t.fence = wanted.fence AND t.call = wanted.call

-- name: load_open_calls
-- The calls still open in attempts that end in a batch.
SELECT t.run, t.fence, t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries,
       t.error_class, t.error_text, t.result
FROM unnest(%(runs)s::uuid[], %(fences)s::bigint[]) AS wanted (run, fence)
JOIN task_timeline t ON t.ws = %(ws)s AND t.version = %(version)s AND t.run = wanted.run AND t.fence = wanted.fence
WHERE t.status IN ('running', 'retrying')

-- name: store_calls
-- The folded rows, whole.
INSERT INTO task_timeline (ws, version, run, fence, call, parent, kind, name, status, first_offset, started_at, ended_at, tries, retries,
  error_class, error_text, result)
SELECT %(ws)s, %(version)s, r.run, r.fence, r.call, r.parent, r.kind, r.name, r.status, r.first_offset, r.started_at, r.ended_at, r.tries,
  r.retries::jsonb, r.error_class, r.error_text, r.result::jsonb
FROM unnest(%(runs)s::uuid[], %(fences)s::bigint[], %(calls)s::bytea[], %(parents)s::bytea[], %(kinds)s::text[], %(names)s::text[],
  %(statuses)s::text[], %(first_offsets)s::bigint[], %(started)s::timestamptz[], %(ended)s::timestamptz[], %(tries)s::integer[],
  %(retries)s::text[], %(error_classes)s::text[], %(error_texts)s::bytea[], %(results)s::text[])
  AS r (run, fence, call, parent, kind, name, status, first_offset, started_at, ended_at, tries, retries, error_class, error_text, result)
ON CONFLICT (ws, version, run, fence, call) DO UPDATE SET
  parent = excluded.parent, kind = excluded.kind, name = excluded.name, status = excluded.status, first_offset = excluded.first_offset,
  started_at = excluded.started_at, ended_at = excluded.ended_at, tries = excluded.tries, retries = excluded.retries,
  error_class = excluded.error_class, error_text = excluded.error_text, result = excluded.result

-- name: add_counts
-- By how much the batch moved the sums of each attempt.
INSERT INTO task_counts AS c (ws, version, run, fence, running, retrying, completed, failed, cancelled, skipped, interrupted)
SELECT %(ws)s, %(version)s, d.*
FROM unnest(%(runs)s::uuid[], %(fences)s::bigint[], %(running)s::integer[], %(retrying)s::integer[], %(completed)s::integer[],
  %(failed)s::integer[], %(cancelled)s::integer[], %(skipped)s::integer[], %(interrupted)s::integer[]) AS d
ON CONFLICT (ws, version, run, fence) DO UPDATE SET
  running = c.running + excluded.running, retrying = c.retrying + excluded.retrying, completed = c.completed + excluded.completed,
  failed = c.failed + excluded.failed, cancelled = c.cancelled + excluded.cancelled, skipped = c.skipped + excluded.skipped,
  interrupted = c.interrupted + excluded.interrupted
