-- Reading artifacts and metrics. Role app; every statement reads the active version.

-- name: latest
-- The newest artifact of each key, by key.
SELECT a.run, a.id, a.fence, a.call, a.kind, a.key, a.number, a.latest, a.media_type, a.size_bytes, a.content, a.description, a.percent,
  a.first_offset, a.saved_at, a.updated_at
FROM artifact a
WHERE a.ws = %(ws)s AND a.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND a.latest AND a.key > %(after)s AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(prefix)s::text = '' OR starts_with(a.key, %(prefix)s))
ORDER BY a.key
LIMIT %(limit)s

-- name: history
-- The artifacts of a key, the newest first.
SELECT a.run, a.id, a.fence, a.call, a.kind, a.key, a.number, a.latest, a.media_type, a.size_bytes, a.content, a.description, a.percent,
  a.first_offset, a.saved_at, a.updated_at
FROM artifact a
WHERE a.ws = %(ws)s AND a.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND a.key = %(key)s AND a.key <> '' AND a.number < %(before)s
ORDER BY a.number DESC
LIMIT %(limit)s

-- name: of_run
-- The artifacts of a run in the order in which they were saved.
SELECT a.run, a.id, a.fence, a.call, a.kind, a.key, a.number, a.latest, a.media_type, a.size_bytes, a.content, a.description, a.percent,
  a.first_offset, a.saved_at, a.updated_at
FROM artifact a
WHERE a.ws = %(ws)s AND a.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND a.run = %(run)s AND a.first_offset > %(after)s AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(prefix)s::text = '' OR starts_with(a.key, %(prefix)s))
ORDER BY a.first_offset
LIMIT %(limit)s

-- name: one
-- One artifact.
SELECT a.run, a.id, a.fence, a.call, a.kind, a.key, a.number, a.latest, a.media_type, a.size_bytes, a.content, a.description, a.percent,
  a.first_offset, a.saved_at, a.updated_at
FROM artifact a
WHERE a.ws = %(ws)s AND a.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
  AND a.run = %(run)s AND a.id = %(id)s

-- name: series
-- The metrics of a run: how many batches and points each has, and its range.
SELECT m.series, max(m.name), max(m.unit), count(*), least(sum(m.recorded), 9223372036854775807)::bigint, sum(m.kept)::bigint, min(m.lowest), max(m.highest),
  (array_agg(m.newest ORDER BY m.first_offset DESC) FILTER (WHERE m.newest IS NOT NULL))[1], bool_or(cardinality(m.steps) > 0)
FROM metric_batch m
WHERE m.ws = %(ws)s AND m.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline') AND m.run = %(run)s
GROUP BY m.series
ORDER BY 2, 1
LIMIT %(limit)s

-- name: points
-- The points of a series in order, thinned out to the smallest and the largest of each of so many groups.
WITH raw AS (
  SELECT p.value, p.at_us, p.step, row_number() OVER (ORDER BY p.step, p.at_us, m.first_offset, p.n) AS n, count(*) OVER () AS points
  FROM metric_batch m, LATERAL (
    SELECT u.value, u.at_us, coalesce(u.step, 0) AS step, u.n
    FROM unnest(m.points, m.times, CASE WHEN cardinality(m.steps) > 0 THEN m.steps END) WITH ORDINALITY AS u (value, at_us, step, n)) p
  WHERE m.ws = %(ws)s AND m.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND m.run = %(run)s AND m.series = %(series)s
), ranked AS (
  SELECT value, at_us, step, n, points,
    row_number() OVER (PARTITION BY (n - 1) * %(groups)s / points ORDER BY value, n) AS low,
    row_number() OVER (PARTITION BY (n - 1) * %(groups)s / points ORDER BY value DESC, n) AS high
  FROM raw
)
SELECT value, at_us, step FROM ranked
WHERE points <= %(groups)s * 2 OR low = 1 OR high = 1
ORDER BY n

-- name: points_by_batch
-- The same from the range of each batch, for series of very many batches.
WITH raw AS (
  SELECT m.lowest, m.highest, m.times[1] AS at_us, m.times[m.kept] AS until_us, coalesce(m.steps[1], 0) AS step,
    coalesce(m.steps[m.kept], 0) AS until_step, row_number() OVER (ORDER BY m.steps[1], m.times[1], m.first_offset) AS n, count(*) OVER () AS batches
  FROM metric_batch m
  WHERE m.ws = %(ws)s AND m.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
    AND m.run = %(run)s AND m.series = %(series)s AND m.kept > 0
)
SELECT min(lowest), max(highest), min(at_us), max(until_us), min(step), max(until_step) FROM raw
GROUP BY (n - 1) * %(groups)s / batches
ORDER BY (n - 1) * %(groups)s / batches
