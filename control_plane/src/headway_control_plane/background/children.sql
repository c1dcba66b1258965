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
  p.status = 'paused' AND position(convert_to(encode(k.call, 'hex'), 'UTF8') IN p.waits) > 0,
  EXISTS (SELECT FROM run made WHERE made.ws = k.ws AND made.run = k.run), p.fence,
  before.parents, before.calls, before.refusals
FROM unnest(%(parents)s::uuid[], %(calls)s::bytea[]) AS asked (parent, call)
JOIN child_run k ON k.ws = %(ws)s AND k.parent = asked.parent AND k.call = asked.call
JOIN run p ON p.ws = k.ws AND p.run = k.parent
CROSS JOIN LATERAL (
  WITH RECURSIVE line AS (
    SELECT r.run, r.forked_from FROM run r WHERE r.ws = k.ws AND r.run = k.parent
    UNION ALL
    SELECT r.run, r.forked_from FROM line JOIN run r ON r.ws = k.ws AND r.run = line.forked_from
  )
  SELECT coalesce(array_agg(o.parent), '{}') AS parents, coalesce(array_agg(o.call), '{}') AS calls,
    coalesce(array_agg(o.refused), '{}') AS refusals
  FROM child_run o JOIN line ON line.run = o.parent
  WHERE o.ws = k.ws AND o.run = k.run AND (o.parent, o.call) <> (k.parent, k.call)
) AS before
WHERE NOT k.settled

-- name: settle
-- dispatcher: carried out, or refused: for good, or as long as nobody can be told. A run that was granted since its refusal was told may have
-- asked again meanwhile: its row stays open, to be looked at once more.
UPDATE child_run k SET settled = s.settled, refused = s.refused, refusal = s.refusal
FROM unnest(%(workspaces)s::bigint[], %(parents)s::uuid[], %(calls)s::bytea[], %(settled)s::boolean[], %(refused)s::text[], %(refusals)s::bytea[],
    %(fences)s::bigint[])
  AS s (ws, parent, call, settled, refused, refusal, fence)
WHERE k.ws = s.ws AND k.parent = s.parent AND k.call = s.call AND NOT k.settled
  AND (k.settled, k.refused) IS DISTINCT FROM (s.settled, s.refused)
  AND (s.refused = '' OR NOT s.settled OR EXISTS (SELECT FROM run p WHERE p.ws = s.ws AND p.run = s.parent AND p.fence = s.fence))

-- name: abandoned
-- dispatcher: runs under way whose parent waited for them and was cancelled, and for which nobody else waits who took them.
SELECT c.ws, c.run FROM run c
CROSS JOIN LATERAL (
  SELECT bool_or(p.status IN ('cancelling', 'cancelled') AND k.waited AND NOT k.outlives) AS gone,
    bool_or(p.ended_at IS NULL AND p.status <> 'cancelling') AS awaited
  FROM (SELECT ws, parent, waited, outlives FROM child_run WHERE child_run.ws = c.ws AND child_run.run = c.run OFFSET 0) AS k
  JOIN run p ON p.ws = k.ws AND p.run = k.parent
) AS asked
WHERE c.parent_run IS NOT NULL AND c.ended_at IS NULL AND c.status <> 'cancelling' AND c.shard = ANY (%(shards)s::smallint[])
  AND NOT c.run = ANY (%(aside)s::uuid[]) AND asked.gone AND NOT asked.awaited
LIMIT %(most)s
