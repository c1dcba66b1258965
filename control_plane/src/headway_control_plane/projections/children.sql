-- Runs that a run has asked for. Role app.

-- name: children
-- Those of some calls, and the newest ones, each with the run that was made, if one was; the first call first.
WITH newest AS (
  SELECT n.call FROM child_run n WHERE n.ws = %(ws)s AND n.parent = %(run)s ORDER BY n.requested_at DESC LIMIT %(newest)s
)
SELECT k.call, coalesce(d.name, CASE WHEN k.deployment LIKE 'sha256:%%' THEN '' ELSE k.deployment END), k.requested_at, k.refused, k.refusal, r.run, r.status,
       r.ended_at, k.call IN (SELECT newest.call FROM newest)
FROM child_run k
LEFT JOIN run r ON r.ws = %(ws)s AND r.run = k.run
LEFT JOIN deployment d ON d.ws = %(ws)s AND d.deployment = r.deployment
WHERE k.ws = %(ws)s AND k.parent = %(run)s AND k.call = ANY (ARRAY(SELECT newest.call FROM newest) || %(calls)s::bytea[])
ORDER BY k.requested_at, k.call
