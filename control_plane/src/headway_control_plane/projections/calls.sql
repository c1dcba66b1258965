-- Calls by their place in a run: one call, what lies within it, the sub-flows of an attempt. Role app; every statement reads the active version.
-- What lies within a call is found from parent to child; UNION ends the search where calls claim to be each other's parents.

-- name: find
-- The calls of an attempt whose keys lie in a range: one, or two where the beginning of a key is not enough.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM task_timeline t LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.call BETWEEN %(first)s AND %(last)s
LIMIT 2

-- name: fences
-- The attempts that know a call, the newest first.
SELECT t.fence
FROM task_timeline t
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = ANY (%(fences)s) AND t.call BETWEEN %(first)s AND %(last)s
ORDER BY t.fence DESC
LIMIT 1

-- name: flows
-- The sub-flows of an attempt, in the order in which the log first heard of them.
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM task_timeline t LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.kind = 'flow' AND t.first_offset > %(after)s
  AND (%(statuses)s::text[] IS NULL OR t.status = ANY (%(statuses)s))
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: count_flows
-- The sub-flows of an attempt by status, counted to a limit.
SELECT status, count(*) FROM (
  SELECT t.status
  FROM task_timeline t
  WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.kind = 'flow'
  LIMIT %(limit)s) AS looked_at
GROUP BY status

-- name: within
-- The calls within a call, however deep, in the order in which the log first heard of them.
WITH RECURSIVE found AS (
  SELECT t.call
  FROM task_timeline t
  WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.parent = %(call)s AND t.parent <> ''
  UNION
  SELECT t.call
  FROM found
  JOIN task_timeline t ON t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.parent = found.call AND t.parent <> ''
)
SELECT t.call, t.parent, t.kind, t.name, t.status, t.first_offset, t.started_at, t.ended_at, t.tries, t.retries, t.error_class, t.error_text,
       t.result, t.calls, t.median_us, t.longest_us, named.bytes
FROM found
JOIN task_timeline t ON t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.call = found.call
LEFT JOIN payload named ON named.ws = t.ws AND named.digest = t.run_name
WHERE found.call <> %(call)s AND t.first_offset > %(after)s AND (%(statuses)s::text[] IS NULL OR t.status = ANY (%(statuses)s))
  AND (%(name)s::text IS NULL OR t.name = %(name)s)
ORDER BY t.first_offset
LIMIT %(limit)s

-- name: keys_within
-- The keys of the calls within a call, the outer ones first, up to a limit; of a range also what it holds.
WITH RECURSIVE found AS (
  SELECT t.call, t.status
  FROM task_timeline t
  WHERE t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.parent = %(call)s AND t.parent <> ''
  UNION
  SELECT t.call, t.status
  FROM found
  JOIN task_timeline t ON t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND t.run = %(run)s AND t.fence = %(fence)s AND t.parent = found.call AND t.parent <> ''
)
SELECT found.call, found.status, t.calls, t.packed
FROM found
JOIN task_timeline t ON t.ws = %(ws)s AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND t.run = %(run)s AND t.fence = %(fence)s AND t.call = found.call
WHERE found.call <> %(call)s LIMIT %(limit)s
