-- Small looks for pages. Role app.

-- name: recent_results
-- The newest runs of each of these deployments, whatever their state.
SELECT d.deployment, newest.run, newest.status, newest.started_at, newest.ended_at
FROM unnest(%(deployments)s::uuid[]) AS d (deployment)
CROSS JOIN LATERAL (
  SELECT of_status.*
  FROM unnest(%(statuses)s::text[]) AS s (status)
  CROSS JOIN LATERAL (
    SELECT r.run, r.status, r.started_at, r.ended_at FROM run r
    WHERE r.ws = %(ws)s AND r.deployment = d.deployment AND r.status = s.status
    ORDER BY r.run DESC LIMIT %(each)s
  ) of_status
  ORDER BY of_status.run DESC LIMIT %(each)s
) newest
ORDER BY d.deployment, newest.run

-- name: find
-- What begins with a text: deployments, flows, pools and agents, a few of each kind.
(SELECT 'deployment' AS kind, d.name, d.flow AS detail, d.deployment AS id FROM deployment d
 WHERE d.ws = %(ws)s AND (d.name ILIKE %(pattern)s OR d.name ILIKE %(inner)s) ORDER BY d.name ILIKE %(pattern)s DESC, d.name LIMIT %(each)s)
UNION ALL
(SELECT DISTINCT 'flow', d.flow, '', NULL::uuid FROM deployment d
 WHERE d.ws = %(ws)s AND (d.flow ILIKE %(pattern)s OR d.flow ILIKE %(inner)s) LIMIT %(each)s)
UNION ALL
(SELECT 'pool', p.name, '', p.pool FROM pool p WHERE p.ws = %(ws)s AND p.name ILIKE %(inner)s ORDER BY p.name LIMIT %(each)s)
UNION ALL
(SELECT 'agent', a.name, '', a.agent FROM agent a WHERE a.ws = %(ws)s AND a.revoked_at IS NULL AND a.name ILIKE %(inner)s ORDER BY a.name LIMIT %(each)s)

-- name: workspace_name
-- The name of the workspace that the transaction sees.
SELECT name FROM workspace WHERE ws = %(ws)s

-- name: last_line
-- The number of the last line of output that is stored of an attempt.
SELECT first_line + lines - 1 FROM log_chunk
WHERE ws = %(ws)s AND run = %(run)s AND fence = %(fence)s
ORDER BY first_line DESC LIMIT 1
