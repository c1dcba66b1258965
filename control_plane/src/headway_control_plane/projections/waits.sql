-- What paused runs wait for. Role app.

-- name: waiting
-- Paused runs that name this topic among their waits: its cost grows with what is paused, not with all runs.
SELECT run, waits, ARRAY(SELECT a.call FROM run_answer a WHERE a.ws = run.ws AND a.run = run.run) FROM run
WHERE ws = %(ws)s AND status = 'paused' AND ended_at IS NULL AND position(%(topic)s::bytea IN waits) > 0
ORDER BY run
LIMIT %(limit)s
