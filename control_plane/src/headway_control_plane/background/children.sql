-- What the service of wanted runs reads and settles.

-- name: unsettled
-- dispatcher: wishes that nobody has looked at, of each shard its oldest in turn: who asks for much does not hold up the others.
SELECT k.ws, k.parent, k.call, k.run FROM unnest(%(shards)s::smallint[]) AS held (shard)
CROSS JOIN LATERAL (
  SELECT c.*, row_number() OVER (ORDER BY c.requested_at) AS place FROM (
    SELECT ws, parent, call, run, requested_at FROM child_run
    WHERE NOT settled AND shard = held.shard AND refused = '' AND NOT run = ANY (%(aside)s::uuid[])
    ORDER BY requested_at LIMIT %(most)s) c
) k
ORDER BY k.place, k.requested_at LIMIT %(most)s

-- name: unheard
-- dispatcher: wishes that were refused, where the run that asked may listen by now; round and round, for it may listen to something else for long.
SELECT k.ws, k.parent, k.call, k.run FROM child_run k JOIN run p ON p.ws = k.ws AND p.run = k.parent
WHERE NOT k.settled AND k.shard = ANY (%(shards)s::smallint[]) AND NOT k.run = ANY (%(aside)s::uuid[])
  AND k.refused <> '' AND p.status NOT IN ('scheduled', 'pending', 'running') AND k.run > %(after)s
ORDER BY k.run LIMIT %(most)s

-- name: wanted
-- app: all that a run is made of, and whether its parent waits for it at this moment.
SELECT k.parent, k.call, k.run,
  CASE WHEN k.deployment LIKE 'sha256:%%' THEN coalesce((
    SELECT name FROM deployment d WHERE d.ws = k.ws AND k.deployment IN (
      'sha256:' || encode(sha256(convert_to(d.name, 'UTF8')), 'hex'), 'sha256:' || encode(sha256(convert_to(d.deployment::text, 'UTF8')), 'hex'))
  ), '') ELSE k.deployment END,
  k.has_parameters,
  (SELECT bytes FROM payload WHERE payload.ws = k.ws AND payload.digest = k.parameters),
  (SELECT bytes FROM payload WHERE payload.ws = k.ws AND payload.digest = k.labels),
  k.due_at, k.waited, k.outlives, p.priority, p.status,
  (WITH RECURSIVE above AS (
     SELECT r.parent_run, 1 AS depth FROM run r WHERE r.ws = k.ws AND r.run = k.parent
     UNION ALL
     SELECT r.parent_run, above.depth + 1 FROM above JOIN run r ON r.ws = k.ws AND r.run = above.parent_run WHERE above.depth < 100
   ) SELECT max(depth)::integer FROM above),
  p.status = 'paused' AND position(convert_to(encode(k.call, 'hex'), 'UTF8') IN p.waits) > 0
FROM unnest(%(parents)s::uuid[], %(calls)s::bytea[]) AS asked (parent, call)
JOIN child_run k ON k.ws = %(ws)s AND k.parent = asked.parent AND k.call = asked.call
JOIN run p ON p.ws = k.ws AND p.run = k.parent
WHERE NOT k.settled

-- name: settle
-- dispatcher: carried out, or refused: for good, or as long as nobody can be told.
UPDATE child_run k SET settled = s.settled, refused = s.refused
FROM unnest(%(workspaces)s::bigint[], %(parents)s::uuid[], %(calls)s::bytea[], %(settled)s::boolean[], %(refused)s::text[])
  AS s (ws, parent, call, settled, refused)
WHERE k.ws = s.ws AND k.parent = s.parent AND k.call = s.call AND NOT k.settled
  AND (k.settled, k.refused) IS DISTINCT FROM (s.settled, s.refused)

-- name: abandoned
-- dispatcher: runs under way whose parent waited for them and was cancelled.
SELECT c.ws, c.run FROM run c
JOIN run p ON p.ws = c.ws AND p.run = c.parent_run AND p.status IN ('cancelling', 'cancelled')
JOIN child_run k ON k.ws = c.ws AND k.parent = c.parent_run AND k.call = c.parent_call AND k.waited AND NOT k.outlives
WHERE c.parent_run IS NOT NULL AND c.ended_at IS NULL AND c.status <> 'cancelling' AND c.shard = ANY (%(shards)s::smallint[])
  AND NOT c.run = ANY (%(aside)s::uuid[])
LIMIT %(most)s
