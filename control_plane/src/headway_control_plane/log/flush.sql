-- Statements of a flush. They run as headway_committer and see the workspaces of app.workspaces alone.

-- name: set_locally
-- Settings that end with the transaction.
SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS setting (name, value)

-- name: lock_heads
-- S1, on its own: statements behind it get snapshots taken after the wait. Ordered, so that flushes never deadlock.
SELECT h.ws, w.id, w.shard, h.epoch, h."offset", h.seg, h.chain, CASE WHEN isfinite(h.recorded_at) THEN h.recorded_at END
FROM workspace_head h JOIN workspace w ON w.ws = h.ws
WHERE h.ws = ANY (%b::bigint[]) ORDER BY h.ws FOR UPDATE OF h

-- name: lock_free_heads
-- S1 of a flush: heads that somebody else holds are left out, so that no other workspace waits with them.
SELECT h.ws, w.id, w.shard, h.epoch, h."offset", h.seg, h.chain, CASE WHEN isfinite(h.recorded_at) THEN h.recorded_at END
FROM workspace_head h JOIN workspace w ON w.ws = h.ws
WHERE h.ws = ANY (%b::bigint[]) ORDER BY h.ws FOR UPDATE OF h SKIP LOCKED

-- name: known_heads
-- Whether a head that was not locked is there at all.
SELECT ws FROM workspace_head WHERE ws = ANY (%b::bigint[])

-- name: time_after_locks
-- The time of everything that this flush decides and records.
SELECT headway_now()

-- name: shard_epochs
-- A grant is guarded by its shard's epoch; the lock holds a takeover off until this flush is committed.
SELECT s.id, s.epoch FROM shard s
WHERE s.id IN (SELECT w.shard FROM workspace w WHERE w.ws = ANY (%b::bigint[])) ORDER BY s.id FOR SHARE

-- name: waiting_for
-- Paused runs that name one of these topics among their waits; the cost grows with what is paused, as for events from outside.
SELECT r.ws, r.run FROM unnest(%b::bigint[], %b::bytea[]) AS t (ws, topic)
JOIN run r ON r.ws = t.ws AND r.status = 'paused' AND r.ended_at IS NULL AND position(t.topic IN r.waits) > 0
ORDER BY r.run LIMIT 10000

-- name: responses
-- Idempotency keys that were used before and still count.
SELECT d.ws, d.key_hash, d.request_hash, d.response
FROM unnest(%b::bigint[], %b::bytea[]) AS k (ws, key_hash)
JOIN command_dedupe d ON d.ws = k.ws AND d.key_hash = k.key_hash AND d.expires_at > headway_now()

-- name: move_heads
-- The newest event of each workspace.
UPDATE workspace_head h SET "offset" = n."offset", seg = n.seg, chain = n.chain, recorded_at = n.recorded_at
FROM unnest(%b::bigint[], %b::bigint[], %b::integer[], %b::bytea[], %b::timestamptz[]) AS n (ws, "offset", seg, chain, recorded_at)
WHERE h.ws = n.ws

-- name: keep_payloads
-- Erasable content, once for each digest.
INSERT INTO payload (ws, digest, bytes) SELECT * FROM unnest(%b::bigint[], %b::bytea[], %b::bytea[]) ON CONFLICT DO NOTHING

-- name: find_proof
-- The last event of a flush of unknown outcome.
SELECT 1 FROM event WHERE ws = %b AND seg = %b AND "offset" = %b AND chain = %b
