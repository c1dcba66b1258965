-- What the dispatcher reads and writes. Run in the role headway_dispatcher.

-- name: workspaces_of_shards
-- The workspaces of these shards, and the database's time.
SELECT ws, shard, headway_now() FROM workspace WHERE shard = ANY (%(shards)s::smallint[])

-- name: pools
-- All pools of these workspaces.
SELECT ws, pool, name, slots FROM pool WHERE ws = ANY (%(workspaces)s::bigint[])

-- name: sessions
-- Sessions that are not closed.
SELECT ws, session, pool, slots, status = 'open', agent FROM session
WHERE ws = ANY (%(workspaces)s::bigint[]) AND status <> 'closed'

-- name: runs
-- Runs that wait for a grant or whose newest attempt is open. Each attempt by its run, one after the other (the OFFSET sees to that,
-- here and below): a plan made while tables were small may otherwise walk through all that the workspace has.
SELECT run.ws, run.run, run.pool, run.deployment, run.priority, run.due_at, attempt.session, run.home
FROM run
LEFT JOIN LATERAL (
  SELECT session, status FROM attempt WHERE attempt.ws = run.ws AND attempt.run = run.run OFFSET 0
) AS attempt ON attempt.status <> 'closed'
WHERE run.ws = ANY (%(workspaces)s::bigint[]) AND run.status IN ('scheduled', 'pending', 'running', 'cancelling')
  AND (run.status = 'scheduled' OR attempt.session IS NOT NULL)

-- name: single_runs
-- The same of single runs.
SELECT run.ws, run.run, run.pool, run.deployment, run.priority, run.due_at, attempt.session, run.home
FROM unnest(%(workspaces)s::bigint[], %(runs)s::uuid[]) AS named (ws, run)
CROSS JOIN LATERAL (
  SELECT ws, run, pool, deployment, priority, due_at, home, status FROM run WHERE run.ws = named.ws AND run.run = named.run OFFSET 0
) AS run
LEFT JOIN LATERAL (
  SELECT session, status FROM attempt WHERE attempt.ws = run.ws AND attempt.run = run.run OFFSET 0
) AS attempt ON attempt.status <> 'closed'
WHERE run.status IN ('scheduled', 'pending', 'running', 'cancelling') AND (run.status = 'scheduled' OR attempt.session IS NOT NULL)

-- name: single_sessions
-- The same of single sessions.
SELECT session.ws, session.session, session.pool, session.slots, session.status = 'open', session.agent
FROM unnest(%(workspaces)s::bigint[], %(sessions)s::uuid[]) AS named (ws, session)
CROSS JOIN LATERAL (
  SELECT * FROM session WHERE session.ws = named.ws AND session.session = named.session OFFSET 0
) AS session
WHERE session.status <> 'closed'

-- name: close_waits
-- End the reasons that no longer hold.
UPDATE run_wait SET until = greatest(headway_now(), since)
FROM unnest(%(workspaces)s::bigint[], %(runs)s::uuid[], %(reasons)s::text[], %(objects)s::text[]) AS told (ws, run, reason, object)
WHERE run_wait.ws = told.ws AND run_wait.run = told.run AND run_wait.until IS NULL
  AND (run_wait.reason, run_wait.object) <> (told.reason, told.object)

-- name: open_waits
-- Begin the reasons that hold from now on, of runs that still wait.
INSERT INTO run_wait (ws, run, since, until, reason, object)
SELECT told.ws, told.run, headway_now(), NULL, told.reason, told.object
FROM unnest(%(workspaces)s::bigint[], %(runs)s::uuid[], %(reasons)s::text[], %(objects)s::text[]) AS told (ws, run, reason, object)
JOIN run ON run.ws = told.ws AND run.run = told.run AND run.status = 'scheduled'
WHERE told.reason <> ''
ON CONFLICT DO NOTHING

-- name: close_idle_waits
-- End reasons of runs that do not wait any more, whoever should have done it.
UPDATE run_wait SET until = greatest(headway_now(), since)
FROM run
WHERE run_wait.ws = ANY (%(workspaces)s::bigint[]) AND run_wait.until IS NULL
  AND run.ws = run_wait.ws AND run.run = run_wait.run AND run.status <> 'scheduled'
