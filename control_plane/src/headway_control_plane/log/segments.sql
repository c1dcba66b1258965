-- Statements about day segments. They run as headway_maintenance, which owns the partitioned tables.

-- name: one_at_a_time
-- Whoever makes partitions waits for whoever is making them; readers and writers do not.
LOCK TABLE event IN SHARE UPDATE EXCLUSIVE MODE

-- name: missing
-- Segments of today and the days ahead that a partitioned table lacks.
SELECT t.name, d.seg::integer
FROM (VALUES ('event'), ('log_chunk')) AS t (name),
  LATERAL (SELECT floor(extract(epoch FROM headway_now()) / 86400)::integer AS today) AS now,
  LATERAL generate_series(now.today, now.today + %s::integer) AS d (seg)
WHERE NOT EXISTS (
  SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = t.name::regclass AND c.relname = t.name || '_' || d.seg
)
ORDER BY d.seg, t.name

-- name: days_left
-- How far ahead of today both tables have segments.
SELECT coalesce(min(newest.seg), -1) - floor(extract(epoch FROM headway_now()) / 86400)::integer
FROM (VALUES ('event'), ('log_chunk')) AS t (name),
  LATERAL (
    SELECT max(substring(c.relname FROM '[0-9]+$')::integer) AS seg
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = t.name::regclass
  ) AS newest
