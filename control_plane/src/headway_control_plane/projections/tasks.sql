-- Reading calls and their sums. Role app; every statement reads the active version.

-- name: counts
-- The sums of the newest attempt of each of these runs that has called anything.
SELECT DISTINCT ON (c.run) c.run, c.fence, c.running, c.retrying, c.completed, c.failed, c.cancelled, c.skipped, c.interrupted, c.paused
FROM projection_active a
JOIN task_counts c ON c.ws = %(ws)s AND c.version = a.version AND c.run = ANY (%(runs)s)
WHERE a.projection = 'task_timeline' AND (%(fence)s::bigint IS NULL OR c.fence = %(fence)s)
ORDER BY c.run, c.fence DESC

-- name: page
-- Calls of one attempt in the order in which the log first heard of them.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM task_timeline t LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.first_offset > %(after)s
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: page_by_status
-- The same, of some statuses.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM task_timeline t LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.first_offset > %(after)s AND t.status = ANY (%(statuses)s)
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: page_by_name
-- The same, of the calls of one name.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM task_timeline t LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.first_offset > %(after)s AND t.name = %(name)s
  AND (%(statuses)s::text[] IS NULL OR t.status = ANY (%(statuses)s))
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: in_span
-- The same, of those that were executing in a span of time.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM task_timeline t LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.started_at <= %(until)s AND (t.ended_at IS NULL OR t.ended_at >= %(since)s)
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: packed
-- Of these ranges: what tells their calls apart, and when they were told of.
SELECT t.call, t.packed, t.started_at
FROM task_timeline t
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.call = ANY (%(calls)s) AND t.packed IS NOT NULL

-- name: groups
-- Calls with the same parent and name as one line each, the first groups first, with their sums. A range counts for its calls; of what they took
-- its median stands for each, and what was not executed (skipped) says nothing of it.
WITH took AS (
  SELECT t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.calls, t.retries <> '[]' AS retried,
         CASE WHEN t.status <> 'skipped' THEN coalesce(t.median_us * interval '1 microsecond', t.ended_at - t.started_at) END AS took,
         CASE WHEN t.status <> 'skipped' THEN coalesce(t.longest_us * interval '1 microsecond', t.ended_at - t.started_at) END AS longest
  FROM task_timeline t
  WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND (%(parent)s::bytea IS NULL OR t.parent = %(parent)s)
    AND (%(since)s::timestamptz IS NULL OR (t.started_at <= %(until)s AND (t.ended_at IS NULL OR t.ended_at >= %(since)s)))
), ranked AS (
  SELECT took.*, sum(calls) FILTER (WHERE took IS NOT NULL) OVER (PARTITION BY parent, kind, name ORDER BY took) AS upto,
         sum(calls) FILTER (WHERE took IS NOT NULL) OVER (PARTITION BY parent, kind, name) AS timed
  FROM took
)
SELECT parent, kind, name, sum(calls), coalesce(sum(calls) FILTER (WHERE status IN ('running', 'retrying')), 0),
       coalesce(sum(calls) FILTER (WHERE status = 'completed'), 0), coalesce(sum(calls) FILTER (WHERE status = 'failed'), 0),
       coalesce(sum(calls) FILTER (WHERE status = 'cancelled'), 0), coalesce(sum(calls) FILTER (WHERE status = 'skipped'), 0),
       coalesce(sum(calls) FILTER (WHERE status = 'interrupted'), 0), coalesce(sum(calls) FILTER (WHERE status = 'paused'), 0),
       count(*) FILTER (WHERE retried), min(started_at), max(coalesce(ended_at, %(now)s)),
       min(took) FILTER (WHERE upto * 2 >= timed), max(longest), count(*) OVER ()
FROM ranked
GROUP BY parent, kind, name
ORDER BY min(first_offset)
LIMIT %(limit)s

-- name: bins
-- For each of these groups: in which column of the picture how many calls began, ended and failed. A range counts from its beginning to its end for
-- as many calls as ran at once in it, on average.
WITH shown AS (
  SELECT g.lane, t.started_at, t.ended_at, t.status,
         CASE WHEN t.busy_us IS NULL THEN t.calls ELSE least(t.calls, greatest(1, round(
           t.busy_us / greatest(extract(epoch FROM t.ended_at - t.started_at) * 1000000, 1))))::integer END AS at_once
  FROM unnest(%(parents)s::bytea[], %(kinds)s::text[], %(names)s::text[]) WITH ORDINALITY AS g (parent, kind, name, lane)
  JOIN task_timeline t ON t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.parent = g.parent AND t.kind = g.kind AND t.name = g.name
    AND (%(since)s::timestamptz IS NULL OR (t.started_at <= %(until)s AND (t.ended_at IS NULL OR t.ended_at >= %(since)s)))
), edges AS (
  SELECT lane, started_at AS at, at_once AS began, 0 AS ended, 0 AS failed FROM shown
  UNION ALL
  SELECT lane, ended_at, 0, at_once, (status = 'failed')::integer FROM shown WHERE ended_at IS NOT NULL
)
SELECT lane::integer - 1,
       least(greatest(width_bucket(extract(epoch FROM at - %(start)s::timestamptz), 0, %(seconds)s, %(columns)s) - 1, 0), %(columns)s - 1),
       sum(began)::integer, sum(ended)::integer, sum(failed)::integer
FROM edges
GROUP BY 1, 2
ORDER BY 1, 2
