-- Statements of the agents' API. The role of each is named in its purpose line.

-- name: find_agent
-- auth: an agent's identity by the id that its assertion names, whatever its workspace.
SELECT agent.agent, agent.ws, workspace.id, workspace.shard, agent.pool, agent.name, agent.public_key, agent.revoked_at
FROM agent JOIN workspace ON workspace.ws = agent.ws
WHERE agent.agent = %(agent)s
LIMIT 1

-- name: revoked_agents
-- auth: which of the connected agents were revoked.
SELECT agent.agent FROM unnest(%(workspaces)s::bigint[], %(agents)s::uuid[]) AS connected (ws, agent)
JOIN agent ON agent.ws = connected.ws AND agent.agent = connected.agent
WHERE agent.revoked_at IS NOT NULL

-- name: epoch
-- app: of the log.
SELECT epoch FROM workspace_head WHERE ws = %(ws)s

-- name: agent_sessions
-- app: this session, and the others of the agent that are not closed.
SELECT session, status, agent, incarnation FROM session
WHERE ws = %(ws)s AND (session = %(session)s OR (agent = %(agent)s AND status <> 'closed'))

-- name: pool_permits
-- app: what the agents of a pool may send.
SELECT permits FROM pool WHERE ws = %(ws)s AND pool = %(pool)s

-- name: pool_name
-- app: what people call a pool.
SELECT name FROM pool WHERE ws = %(ws)s AND pool = %(pool)s

-- name: agent_attempts
-- app: the agent's open attempts, and those that it says it holds, with what the log knows of them.
WITH named AS (
  SELECT run, fence FROM attempt WHERE ws = %(ws)s AND agent = %(agent)s AND status <> 'closed'
  UNION
  SELECT held.run, held.fence FROM unnest(%(runs)s::uuid[], %(fences)s::bigint[]) AS held (run, fence)
)
SELECT attempt.run, attempt.fence, attempt.status, attempt.session, attempt.last_seq, attempt.outcome, attempt.cancel,
       run.fence AS newest, run.status AS run_status,
       coalesce((SELECT first_line + lines - 1 FROM log_chunk
                 WHERE log_chunk.ws = attempt.ws AND log_chunk.run = attempt.run AND log_chunk.fence = attempt.fence
                 ORDER BY first_line DESC LIMIT 1), 0) AS last_line
FROM named
JOIN attempt ON attempt.ws = %(ws)s AND attempt.run = named.run AND attempt.fence = named.fence
JOIN run ON run.ws = %(ws)s AND run.run = named.run
WHERE attempt.agent = %(agent)s

-- name: renew_sessions
-- dispatcher: extend the leases of all sessions that asked, by the database's clock.
UPDATE session SET expires_at = headway_now() + %(ttl)s
FROM unnest(%(workspaces)s::bigint[], %(sessions)s::uuid[]) AS asked (ws, id)
WHERE session.ws = asked.ws AND session.session = asked.id AND session.status <> 'closed'
RETURNING session.ws, session.session, session.status, session.replica

-- name: session_attempts
-- dispatcher: what is open on the named sessions. A session without open attempts gives one row of nulls.
SELECT session.ws, session.session, session.status, session.replica, attempt.run, attempt.fence, attempt.status, attempt.cancel,
       -- Its attempt asks a person: the version says whether an answer may have come since.
       CASE WHEN run.reason = 'input' THEN run.version ELSE 0 END
FROM unnest(%(workspaces)s::bigint[], %(sessions)s::uuid[]) AS here (ws, id)
CROSS JOIN LATERAL (SELECT * FROM session WHERE session.ws = here.ws AND session.session = here.id OFFSET 0) AS session
LEFT JOIN LATERAL (
  SELECT * FROM attempt WHERE attempt.ws = here.ws AND attempt.session = here.id AND attempt.status <> 'closed' OFFSET 0
) AS attempt ON true
LEFT JOIN LATERAL (SELECT reason, version FROM run WHERE run.ws = attempt.ws AND run.run = attempt.run OFFSET 0) AS run ON true

-- name: ended_runs
-- dispatcher: which of these attempts ended under the eyes of their agent, in a run that has ended with them.
SELECT run.ws, run.run FROM unnest(%(workspaces)s::bigint[], %(runs)s::uuid[], %(fences)s::bigint[]) AS gone (ws, run, fence)
CROSS JOIN LATERAL (SELECT ws, run, status FROM run WHERE run.ws = gone.ws AND run.run = gone.run OFFSET 0) AS run
CROSS JOIN LATERAL (
  SELECT outcome FROM attempt WHERE attempt.ws = gone.ws AND attempt.run = gone.run AND attempt.fence = gone.fence OFFSET 0
) AS attempt
WHERE run.status IN ('completed', 'failed', 'crashed', 'cancelled')
  AND attempt.outcome IN ('completed', 'failed', 'crashed', 'cancelled', 'refused')

-- name: assignments
-- app: all that an agent needs to execute the newest attempts of these runs, as far as they are open, and the version of the
-- workspace's variables: in one statement, so that a run gets whatever was set before it.
SELECT run.run, attempt.fence, attempt.session, attempt.cancel, deployment.name, run.flow, run.name, run.environment, run.entrypoint,
       run.code_hash, payload.bytes, run.cancel_grace_ms, run.kill_grace_ms, run.isolation, run.max_runs_per_process, run.max_memory_mb,
       run.tags, run.flow_version, coalesce(event.traceparent, ''),
       run.home IS NOT NULL AND run.home = attempt.agent, run.waits, given.calls, given.digests, headway_now(), run.forked_from IS NOT NULL,
       EXISTS (SELECT FROM attempt other WHERE other.ws = run.ws AND other.run = run.run AND other.agent <> attempt.agent),
       EXISTS (SELECT FROM attempt other WHERE other.ws = run.ws AND other.run = run.run AND other.outcome IN ('lost', 'agent forgot')),
       coalesce((SELECT variables.version FROM variables WHERE variables.ws = %(ws)s), 0), run.version,
       event.payload, run.due_at, coalesce(event.actor, '')
FROM run
-- Each by its key, one after the other (the OFFSET sees to that): a plan made while tables were small may otherwise walk through all
-- that the workspace has, its events too.
CROSS JOIN LATERAL (
  SELECT * FROM attempt WHERE attempt.ws = run.ws AND attempt.run = run.run AND attempt.fence = run.fence OFFSET 0
) AS attempt
JOIN deployment ON deployment.ws = run.ws AND deployment.deployment = run.deployment
LEFT JOIN LATERAL (
  SELECT bytes FROM payload WHERE payload.ws = run.ws AND payload.digest = run.parameters OFFSET 0
) AS payload ON true
-- What was answered to its waits; most runs have none.
CROSS JOIN LATERAL (
  SELECT array_agg(a.call) AS calls, array_agg(a.digest) AS digests FROM run_answer a
  WHERE run.waits <> '' AND a.ws = run.ws AND a.run = run.run
) AS given
-- The run's creation, in the day segment of that moment: who asked for it, the trace that it happened in, and when the run was to begin (a retry
-- moves the row's time).
LEFT JOIN LATERAL (
  SELECT traceparent, payload, actor FROM event WHERE event.seg = floor(extract(epoch FROM run.created_at) / 86400)::integer AND event.ws = run.ws
    AND event.stream_kind = 6 AND event.stream_id = run.run AND event.fence = 0 AND event.version = 1 OFFSET 0
) AS event ON true
WHERE run.ws = %(ws)s AND run.run = ANY (%(runs)s::uuid[]) AND attempt.status <> 'closed'

-- name: lineages
-- app: the runs that these were made from, the first one first, each with the cut that the next one made.
WITH RECURSIVE line AS (
  SELECT run.run, run.forked_from, run.fork, 1 AS depth FROM run
  WHERE run.ws = %(ws)s AND run.run = ANY (%(runs)s::uuid[]) AND run.forked_from IS NOT NULL
  UNION ALL
  SELECT line.run, run.forked_from, run.fork, line.depth + 1
  FROM line JOIN run ON run.ws = %(ws)s AND run.run = line.forked_from
  WHERE run.forked_from IS NOT NULL
)
SELECT run, forked_from, fork FROM line ORDER BY run, depth DESC

-- name: variables
-- app: all of them, without values.
SELECT version, entries FROM variables WHERE ws = %(ws)s

-- name: answers
-- app: what was answered to waits.
SELECT digest, bytes FROM payload WHERE ws = %(ws)s AND digest = ANY (%(digests)s::bytea[])
