-- Statements that read the log. They run as headway_app, headway_projector or headway_auditor and see one workspace.
-- The log is read segment by segment, oldest first: an equality on seg reaches one partition, and a limit stops the walk.

-- name: head
-- Where the log ends.
SELECT epoch, "offset", chain FROM workspace_head WHERE ws = %(ws)s

-- name: after
-- Everything behind an offset.
SELECT e.* FROM (
  SELECT seg FROM segment_index WHERE ws = %(ws)s AND seg >= coalesce(
    (SELECT max(seg) FROM segment_index WHERE ws = %(ws)s AND first_offset <= %(after)s + 1), 0)
  ORDER BY seg
) s CROSS JOIN LATERAL (
  SELECT e."offset", e.epoch, e.seg, e.stream_kind, e.stream_id, e.fence, e.version, e.type, e.schema_version, e.event_id,
    e.occurred_at, e.recorded_at, e.actor, e.causation, e.traceparent, e.payload, e.chain
  FROM event e WHERE e.ws = %(ws)s AND e.seg = s.seg AND e."offset" > %(after)s AND e."offset" <= %(until)s
  ORDER BY e."offset" LIMIT %(limit)s
) e LIMIT %(limit)s

-- name: after_near
-- Some streams' events not far from the end: the log's own index, filtered. Fence 0 of an attempt means all its fences.
SELECT e.* FROM (
  SELECT seg FROM segment_index WHERE ws = %(ws)s AND seg >= coalesce(
    (SELECT max(seg) FROM segment_index WHERE ws = %(ws)s AND first_offset <= %(after)s + 1), 0)
  ORDER BY seg
) s CROSS JOIN LATERAL (
  SELECT e."offset", e.epoch, e.seg, e.stream_kind, e.stream_id, e.fence, e.version, e.type, e.schema_version, e.event_id,
    e.occurred_at, e.recorded_at, e.actor, e.causation, e.traceparent, e.payload, e.chain
  FROM event e WHERE e.ws = %(ws)s AND e.seg = s.seg AND e."offset" > %(after)s AND e."offset" <= %(until)s
    AND EXISTS (SELECT FROM unnest(%(kinds)s::smallint[], %(ids)s::uuid[], %(fences)s::bigint[]) AS k (kind, id, fence)
      WHERE k.kind = e.stream_kind AND k.id = e.stream_id AND (k.fence = e.fence OR (k.kind = 7 AND k.fence = 0)))
  ORDER BY e."offset" LIMIT %(limit)s
) e LIMIT %(limit)s

-- name: after_far
-- Some streams' events a long way from the end: the streams' index, sorted.
SELECT e.* FROM (
  SELECT seg FROM segment_index WHERE ws = %(ws)s AND seg >= coalesce(
    (SELECT max(seg) FROM segment_index WHERE ws = %(ws)s AND first_offset <= %(after)s + 1), 0)
  ORDER BY seg
) s CROSS JOIN LATERAL (
  SELECT e."offset", e.epoch, e.seg, e.stream_kind, e.stream_id, e.fence, e.version, e.type, e.schema_version, e.event_id,
    e.occurred_at, e.recorded_at, e.actor, e.causation, e.traceparent, e.payload, e.chain
  FROM unnest(%(kinds)s::smallint[], %(ids)s::uuid[], %(fences)s::bigint[]) AS k (kind, id, fence)
  JOIN event e ON e.ws = %(ws)s AND e.seg = s.seg AND e.stream_kind = k.kind AND e.stream_id = k.id
    AND (e.fence = k.fence OR (k.kind = 7 AND k.fence = 0)) AND e."offset" > %(after)s AND e."offset" <= %(until)s
  ORDER BY e."offset" LIMIT %(limit)s
) e LIMIT %(limit)s

-- name: before
-- The newest events below an offset, newest first.
SELECT e.* FROM (
  SELECT seg FROM segment_index WHERE ws = %(ws)s AND first_offset < %(before)s ORDER BY seg DESC
) s CROSS JOIN LATERAL (
  SELECT e."offset", e.epoch, e.seg, e.stream_kind, e.stream_id, e.fence, e.version, e.type, e.schema_version, e.event_id,
    e.occurred_at, e.recorded_at, e.actor, e.causation, e.traceparent, e.payload, e.chain
  FROM event e WHERE e.ws = %(ws)s AND e.seg = s.seg AND e."offset" < %(before)s
  ORDER BY e."offset" DESC LIMIT %(limit)s
) e LIMIT %(limit)s

-- name: stream
-- One stream behind a version; with each event the log's present epoch.
SELECT e.*, (SELECT h.epoch FROM workspace_head h WHERE h.ws = %(ws)s) FROM (SELECT seg FROM segment_index WHERE ws = %(ws)s ORDER BY seg) s CROSS JOIN LATERAL (
  SELECT e."offset", e.epoch, e.seg, e.stream_kind, e.stream_id, e.fence, e.version, e.type, e.schema_version, e.event_id,
    e.occurred_at, e.recorded_at, e.actor, e.causation, e.traceparent, e.payload, e.chain
  FROM event e WHERE e.ws = %(ws)s AND e.seg = s.seg AND e.stream_kind = %(kind)s AND e.stream_id = %(id)s
    AND e.fence = %(fence)s AND e.version > %(after)s
  ORDER BY e.version LIMIT %(limit)s
) e LIMIT %(limit)s

-- name: blobs
-- Erasable content that is there.
SELECT digest, bytes FROM payload WHERE ws = %(ws)s AND digest = ANY (%(digests)s)
