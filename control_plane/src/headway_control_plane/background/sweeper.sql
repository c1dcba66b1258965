-- What the sweeper reads. Run in the role headway_dispatcher; all times are the database's.

-- name: due
-- Deadlines that have passed and leases that ran out, of our shards; the oldest first. `resting` are shards where nothing is reassigned now:
-- neither what a lost session holds, nor what nobody was heard to start, for its agent may have and could not say so. `aside` are streams
-- that failed in an unforeseen way a moment ago; without them, enough of those would hide all others.
(SELECT ws, stream_kind, stream_id, shard, kind, due_at, headway_now() AS now,
   CASE kind WHEN 'start' THEN (SELECT session FROM run WHERE run.ws = timer.ws AND run.run = timer.stream_id) END
 FROM timer
 WHERE due_at <= headway_now() AND shard = ANY (%(shards)s::smallint[])
   AND NOT (kind IN ('reassign', 'start', 'home') AND shard = ANY (%(resting)s::smallint[]))
   -- A run waits on for an agent that is there, however busy it is.
   AND NOT (kind = 'home' AND EXISTS (
     SELECT FROM run JOIN session ON session.ws = run.ws AND session.agent = run.home AND session.status <> 'closed'
     WHERE run.ws = timer.ws AND run.run = timer.stream_id))
   AND NOT stream_id = ANY (%(aside)s::uuid[])
 ORDER BY due_at LIMIT %(most)s)
UNION ALL
(SELECT ws, 5, session, shard, 'lease', expires_at, headway_now(), NULL FROM session
 WHERE status = 'open' AND expires_at <= headway_now() AND shard = ANY (%(shards)s::smallint[])
   AND NOT session = ANY (%(aside)s::uuid[])
 ORDER BY expires_at LIMIT %(most)s)

-- name: push_leases
-- We were away, or another was: nobody loses a lease that could not be renewed.
UPDATE session SET expires_at = greatest(expires_at, headway_now() + %(extension)s)
WHERE shard = ANY (%(shards)s::smallint[]) AND status = 'open'

-- name: losses
-- How many sessions of these shards are there, and when the missing ones were lost.
SELECT shard, count(*) FILTER (WHERE status = 'open'), coalesce(array_agg(lost_at) FILTER (WHERE status = 'lost'), '{}')
FROM session WHERE shard = ANY (%(shards)s::smallint[]) AND status <> 'closed' GROUP BY shard

-- name: orphans
-- Open attempts of our shards whose session was closed for good: nobody will report their end.
SELECT attempt.ws, attempt.run, attempt.fence, attempt.session
FROM attempt JOIN session ON session.ws = attempt.ws AND session.session = attempt.session
WHERE attempt.status <> 'closed' AND session.status = 'closed' AND NOT session.handover AND session.shard = ANY (%(shards)s::smallint[])
  AND NOT attempt.run = ANY (%(aside)s::uuid[])
LIMIT %(most)s

-- name: orphans_of_sessions
-- The same of single sessions.
SELECT attempt.ws, attempt.run, attempt.fence, attempt.session
FROM unnest(%(workspaces)s::bigint[], %(sessions)s::uuid[]) AS named (ws, id)
CROSS JOIN LATERAL (SELECT * FROM session WHERE session.ws = named.ws AND session.session = named.id OFFSET 0) AS session
CROSS JOIN LATERAL (
  SELECT * FROM attempt WHERE attempt.ws = named.ws AND attempt.session = named.id AND attempt.status <> 'closed' OFFSET 0
) AS attempt
WHERE session.status = 'closed' AND NOT session.handover AND NOT attempt.run = ANY (%(aside)s::uuid[])
LIMIT %(most)s
