-- Comparing two versions of `task_timeline` in one workspace. Role projector. Rows whose calls began before an offset are left out.

-- name: differing_calls
-- Calls that only one version has, or that differ, the first ones.
SELECT coalesce(a.run, b.run), coalesce(a.fence, b.fence), coalesce(a.call, b.call), coalesce(a.first_offset, b.first_offset),
       CASE WHEN b.run IS NULL THEN 'missing' WHEN a.run IS NULL THEN 'unexpected' ELSE 'different' END
FROM (SELECT * FROM task_timeline WHERE ws = %(ws)s AND version = %(left)s AND first_offset >= %(proved_from)s) a
FULL JOIN (SELECT * FROM task_timeline WHERE ws = %(ws)s AND version = %(right)s AND first_offset >= %(proved_from)s) b
  ON a.run = b.run AND a.fence = b.fence AND a.call = b.call
WHERE (a.parent, a.kind, a.name, a.status, a.first_offset, a.started_at, a.ended_at, a.tries, a.retries, a.error_class, a.error_text, a.result,
    a.calls, a.run_name, a.busy_us, a.median_us, a.longest_us, a.packed)
  IS DISTINCT FROM
      (b.parent, b.kind, b.name, b.status, b.first_offset, b.started_at, b.ended_at, b.tries, b.retries, b.error_class, b.error_text, b.result,
    b.calls, b.run_name, b.busy_us, b.median_us, b.longest_us, b.packed)
ORDER BY 4
LIMIT %(limit)s

-- name: fingerprint
-- The number of rows of a version and a hash over them that does not depend on their order.
SELECT count(*),
       coalesce(sum(('x' || left(md5(concat_ws('|', run, fence, encode(call, 'hex'), encode(parent, 'hex'), kind, length(name), name, status,
         first_offset, extract(epoch FROM started_at), coalesce(extract(epoch FROM ended_at)::text, '-'), tries, retries, error_class,
         encode(error_text, 'hex'), coalesce(result::text, '-'), calls, encode(run_name, 'hex'), coalesce(busy_us, -1), coalesce(encode(packed, 'hex'), '-'))), 15))::bit(60)::bigint), 0)::text
FROM task_timeline
WHERE ws = %(ws)s AND version = %(version)s AND first_offset >= %(proved_from)s

-- name: output_fingerprint
-- The number of artifacts and batches of points of a version and a hash over them that does not depend on their order.
SELECT count(*), coalesce(sum(('x' || left(md5(told), 15))::bit(60)::bigint), 0)::text
FROM (
  SELECT to_jsonb(a) - 'version' AS told FROM artifact a WHERE ws = %(ws)s AND version = %(version)s AND first_offset >= %(proved_from)s
  UNION ALL
  SELECT to_jsonb(m) - 'version' FROM metric_batch m WHERE ws = %(ws)s AND version = %(version)s AND first_offset >= %(proved_from)s
) rows (told_json), LATERAL (SELECT told_json::text) texts (told)

-- name: differing_outputs
-- Artifacts and batches of points that only one version has, or that differ, the first ones.
SELECT coalesce(a.run, b.run), coalesce(a.fence, b.fence), coalesce(a.call, b.call), coalesce(a.first_offset, b.first_offset),
       CASE WHEN b.run IS NULL THEN 'missing' WHEN a.run IS NULL THEN 'unexpected' ELSE 'different' END
FROM (
  SELECT run, fence, call, first_offset, to_jsonb(x) - 'version' AS told FROM artifact x
    WHERE ws = %(ws)s AND version = %(left)s AND first_offset >= %(proved_from)s
  UNION ALL
  SELECT run, 0, call, first_offset, to_jsonb(x) - 'version' FROM metric_batch x
    WHERE ws = %(ws)s AND version = %(left)s AND first_offset >= %(proved_from)s) a
FULL JOIN (
  SELECT run, fence, call, first_offset, to_jsonb(x) - 'version' AS told FROM artifact x
    WHERE ws = %(ws)s AND version = %(right)s AND first_offset >= %(proved_from)s
  UNION ALL
  SELECT run, 0, call, first_offset, to_jsonb(x) - 'version' FROM metric_batch x
    WHERE ws = %(ws)s AND version = %(right)s AND first_offset >= %(proved_from)s) b
  ON a.run = b.run AND a.first_offset = b.first_offset
WHERE a.told IS DISTINCT FROM b.told
ORDER BY 4
LIMIT %(limit)s

-- name: differing_counts
-- Attempts whose sums are not those of their rows.
SELECT coalesce(c.run, t.run), coalesce(c.fence, t.fence)
FROM (SELECT run, fence, running, retrying, completed, failed, cancelled, skipped, interrupted, paused
      FROM task_counts WHERE ws = %(ws)s AND version = %(version)s) c
FULL JOIN (
  SELECT run, fence, coalesce(sum(calls) FILTER (WHERE status = 'running'), 0) AS running, coalesce(sum(calls) FILTER (WHERE status = 'retrying'), 0) AS retrying,
    coalesce(sum(calls) FILTER (WHERE status = 'completed'), 0) AS completed, coalesce(sum(calls) FILTER (WHERE status = 'failed'), 0) AS failed,
    coalesce(sum(calls) FILTER (WHERE status = 'cancelled'), 0) AS cancelled, coalesce(sum(calls) FILTER (WHERE status = 'skipped'), 0) AS skipped,
    coalesce(sum(calls) FILTER (WHERE status = 'interrupted'), 0) AS interrupted,
    coalesce(sum(calls) FILTER (WHERE status = 'paused'), 0) AS paused
  FROM task_timeline WHERE ws = %(ws)s AND version = %(version)s GROUP BY run, fence) t
  ON c.run = t.run AND c.fence = t.fence
WHERE (c.running, c.retrying, c.completed, c.failed, c.cancelled, c.skipped, c.interrupted, c.paused)
  IS DISTINCT FROM (t.running, t.retrying, t.completed, t.failed, t.cancelled, t.skipped, t.interrupted, t.paused)
LIMIT %(limit)s

-- name: differing_subflows
-- Sub-flows that only one version lists, or that differ, the first ones; those that were heard of before the offset are left out.
SELECT coalesce(a.run, b.run), coalesce(a.fence, b.fence), coalesce(a.call, b.call), least(a.first_offset, b.first_offset),
       CASE WHEN b.run IS NULL THEN 'missing' WHEN a.run IS NULL THEN 'unexpected' ELSE 'different' END
FROM (SELECT * FROM subflow WHERE ws = %(ws)s AND version = %(left)s) a
FULL JOIN (SELECT * FROM subflow WHERE ws = %(ws)s AND version = %(right)s) b ON a.run = b.run AND a.call = b.call
WHERE least(a.first_offset, b.first_offset) >= %(proved_from)s
  AND (a.place, a.fence, a.parent, a.name, a.status, a.first_offset, a.started_at, a.ended_at, a.error_class, a.error_text)
    IS DISTINCT FROM
      (b.place, b.fence, b.parent, b.name, b.status, b.first_offset, b.started_at, b.ended_at, b.error_class, b.error_text)
ORDER BY 4
LIMIT %(limit)s
