-- What must hold of every workspace's log and inline rows, as headway_auditor.

-- name: gapless
-- 1: offsets are 1, 2, 3 ... up to the head's.
SELECT h."offset", count(e."offset"), min(e."offset"), max(e."offset")
FROM workspace_head h LEFT JOIN event e ON e.ws = h.ws WHERE h.ws = %(ws)s GROUP BY h."offset"

-- name: unique
-- 3: one event for each place of a stream, over all segments; for facts this is the fact key.
SELECT stream_kind, stream_id, fence, version, count(*) FROM event WHERE ws = %(ws)s
GROUP BY stream_kind, stream_id, fence, version HAVING count(*) > 1 ORDER BY 1, 2, 3, 4 LIMIT 100

-- name: stream_order
-- 4: along the offsets a stream's versions are 1, 2, 3 ...
SELECT "offset", stream_kind, stream_id, fence, version, place FROM (
  SELECT "offset", stream_kind, stream_id, fence, version,
    row_number() OVER (PARTITION BY stream_kind, stream_id, fence ORDER BY "offset") AS place
  FROM event WHERE ws = %(ws)s
) e WHERE version <> place ORDER BY "offset" LIMIT 100

-- name: guards
-- 2: each attempt's guard counts exactly the facts that are in the log.
SELECT coalesce(a.run, f.stream_id), coalesce(a.fence, f.fence), a.last_seq, f.newest
FROM (SELECT run, fence, last_seq FROM attempt WHERE ws = %(ws)s) a
FULL JOIN (
  SELECT stream_id, fence, max(version) AS newest FROM event WHERE ws = %(ws)s AND stream_kind = 7 GROUP BY stream_id, fence
) f ON f.stream_id = a.run AND f.fence = a.fence
WHERE coalesce(a.last_seq, -1) <> coalesce(f.newest, 0) LIMIT 100

-- name: slots
-- 8: the slots are the open attempts.
SELECT coalesce(a.run, s.run), coalesce(a.fence, s.fence), a.run IS NOT NULL, s.run IS NOT NULL
FROM (SELECT run, fence FROM attempt WHERE ws = %(ws)s AND status <> 'closed') a
FULL JOIN (SELECT run, fence FROM slot WHERE ws = %(ws)s) s ON s.run = a.run AND s.fence = a.fence
WHERE a.run IS NULL OR s.run IS NULL LIMIT 100

-- name: page
-- The log in order, without the payloads of facts.
SELECT e.* FROM (
  SELECT seg FROM segment_index WHERE ws = %(ws)s AND seg >= coalesce(
    (SELECT max(seg) FROM segment_index WHERE ws = %(ws)s AND first_offset <= %(after)s + 1), 0)
  ORDER BY seg
) s CROSS JOIN LATERAL (
  SELECT e."offset", e.stream_kind, e.stream_id, e.fence, e.type, e.schema_version, e.recorded_at,
    CASE WHEN e.stream_kind = 7 THEN ''::bytea ELSE e.payload END
  FROM event e WHERE e.ws = %(ws)s AND e.seg = s.seg AND e."offset" > %(after)s ORDER BY e."offset" LIMIT %(limit)s
) e LIMIT %(limit)s

-- name: run_rows
-- What the rows say of each run.
SELECT run, version, status, reason, fence, attempts_failed, deaths, session, started_at, ended_at, error_class, error_text, result_digest
FROM run WHERE ws = %(ws)s

-- name: tags
-- 5: runs whose tags are not those that they are listed under.
WITH listed AS (SELECT run, array_agg(tag) AS tags FROM run_tag WHERE ws = %(ws)s GROUP BY run)
SELECT r.run, r.tags, coalesce(l.tags, '{}')
FROM run r LEFT JOIN listed l USING (run)
WHERE r.ws = %(ws)s AND NOT (r.tags <@ coalesce(l.tags, '{}') AND coalesce(l.tags, '{}') <@ r.tags)

-- name: attempt_rows
-- What the rows say of each attempt.
SELECT run, fence, status, session, agent, granted_at, started_at, ended_at, outcome, cancel FROM attempt WHERE ws = %(ws)s

-- name: acknowledged
-- 2: which of these facts are missing.
SELECT k.run, k.fence, k.seq FROM unnest(%(runs)s::uuid[], %(fences)s::bigint[], %(seqs)s::bigint[]) AS k (run, fence, seq)
WHERE NOT EXISTS (SELECT FROM event e
  WHERE e.ws = %(ws)s AND e.stream_kind = 7 AND e.stream_id = k.run AND e.fence = k.fence AND e.version = k.seq)
ORDER BY 1, 2, 3 LIMIT 100
