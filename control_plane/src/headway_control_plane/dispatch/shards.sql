-- The replica's lease and the shards. Run in the role headway_dispatcher, each statement a transaction of its own.

-- name: renew_replica
-- Extend our lease, forget replicas that have been gone for long, and read who lives and what the table says is ours.
WITH before AS (
  SELECT expires_at > headway_now() AS alive FROM replica WHERE id = %(replica)s
), renewed AS (
  INSERT INTO replica (id, address, started_at, expires_at)
  VALUES (%(replica)s, %(address)s, headway_now(), headway_now() + %(ttl)s)
  ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
), forgotten AS (
  DELETE FROM replica WHERE expires_at < headway_now() - interval '1 day' AND id <> %(replica)s
), mine AS (
  SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(epoch), '{}') AS epochs FROM shard WHERE owner = %(replica)s
)
SELECT coalesce((SELECT alive FROM before), false),
       (SELECT count(*) FROM replica WHERE id <> %(replica)s AND expires_at > headway_now()),
       mine.ids, mine.epochs
FROM mine

-- name: take_shards
-- Take shards that nobody alive owns. The owner's lease is tested on the row itself, so the test is repeated after a lock wait.
WITH free AS (
  SELECT id FROM shard
  WHERE owner IS NULL OR owner <> ALL (ARRAY(SELECT id FROM replica WHERE expires_at > headway_now()))
  ORDER BY id LIMIT %(count)s FOR UPDATE SKIP LOCKED
)
UPDATE shard SET owner = %(replica)s, epoch = shard.epoch + 1 FROM free WHERE shard.id = free.id
RETURNING shard.id, shard.epoch

-- name: release_shards
-- Give up shards of ours; whoever takes them raises the epoch.
UPDATE shard SET owner = NULL WHERE owner = %(replica)s AND id = ANY (%(shards)s::smallint[])

-- name: retire_replica
-- Leave in order: the lease ends now and all our shards are free.
WITH released AS (UPDATE shard SET owner = NULL WHERE owner = %(replica)s)
DELETE FROM replica WHERE id = %(replica)s
