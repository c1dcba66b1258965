-- Reading calls and their sums. Role app; every statement reads the active version.

-- name: counts
-- The sums of the newest attempt of each of these runs that has called anything.
SELECT DISTINCT ON (c.run) c.run, c.fence, c.running, c.retrying, c.completed, c.failed, c.cancelled, c.skipped, c.interrupted
FROM projection_active a
JOIN task_counts c ON c.ws = %(ws)s AND c.version = a.version AND c.run = ANY (%(runs)s)
WHERE a.projection = 'task_timeline' AND (%(fence)s::bigint IS NULL OR c.fence = %(fence)s)
ORDER BY c.run, c.fence DESC

-- name: page
-- Calls of one attempt in the order in which the log first heard of them.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result
FROM task_timeline t
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.first_offset > %(after)s
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: page_by_status
-- The same, of some statuses.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result
FROM task_timeline t
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.first_offset > %(after)s AND t.status = ANY (%(statuses)s)
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: page_by_name
-- The same, of the calls of one name.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result
FROM task_timeline t
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.first_offset > %(after)s AND t.name = %(name)s
  AND (%(statuses)s::text[] IS NULL OR t.status = ANY (%(statuses)s))
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: groups
-- Calls with the same parent and name as one line each, the first groups first, with their sums.
SELECT t.parent, t.kind, t.name, count(*), count(*) FILTER (WHERE t.status IN ('running', 'retrying')),
       count(*) FILTER (WHERE t.status = 'completed'), count(*) FILTER (WHERE t.status = 'failed'),
       count(*) FILTER (WHERE t.status = 'cancelled'), count(*) FILTER (WHERE t.status = 'skipped'),
       count(*) FILTER (WHERE t.status = 'interrupted'),
       count(*) FILTER (WHERE t.retries <> '[]'), min(t.started_at), max(coalesce(t.ended_at, %(now)s)),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY t.ended_at - t.started_at), max(t.ended_at - t.started_at), count(*) OVER ()
FROM task_timeline t
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND (%(parent)s::bytea IS NULL OR t.parent = %(parent)s)
GROUP BY t.parent, t.kind, t.name
ORDER BY min(t.first_offset)
LIMIT %(limit)s

-- name: bins
-- For each of these groups: in which column of the picture how many calls began, ended and failed.
WITH shown AS (
  SELECT g.lane, t.started_at, t.ended_at, t.status
  FROM unnest(%(parents)s::bytea[], %(kinds)s::text[], %(names)s::text[]) WITH ORDINALITY AS g (parent, kind, name, lane)
  JOIN task_timeline t ON t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.parent = g.parent AND t.kind = g.kind AND t.name = g.name
), edges AS (
  SELECT lane, started_at AS at, 1 AS began, 0 AS ended, 0 AS failed FROM shown
  UNION ALL
  SELECT lane, ended_at, 0, 1, (status = 'failed')::integer FROM shown WHERE ended_at IS NOT NULL
)
SELECT lane::integer - 1,
       least(greatest(width_bucket(extract(epoch FROM at - %(start)s::timestamptz), 0, %(seconds)s, %(columns)s) - 1, 0), %(columns)s - 1),
       sum(began)::integer, sum(ended)::integer, sum(failed)::integer
FROM edges
GROUP BY 1, 2
ORDER BY 1, 2
