-- What the calls of a run, and of those that it was made from, have asked for.

-- name: asked
-- app: the oldest wish first. A line that has more than the most is cut short for its preview and for its agent alike.
WITH RECURSIVE line AS (
  SELECT r.run, r.forked_from, r.status FROM run r WHERE r.ws = %(ws)s AND r.run = %(run)s
  UNION ALL
  SELECT r.run, r.forked_from, r.status FROM line JOIN run r ON r.ws = %(ws)s AND r.run = line.forked_from
)
SELECT k.parent, k.call, k.run, k.deployment, k.parameters, k.requested_at, k.refused,
  k.waited AND NOT k.outlives AND line.status IN ('cancelling', 'cancelled'), coalesce(c.status, ''), a.agent
FROM line
JOIN child_run k ON k.ws = %(ws)s AND k.parent = line.run
LEFT JOIN run c ON c.ws = %(ws)s AND c.run = k.run
LEFT JOIN attempt a ON a.ws = %(ws)s AND a.run = c.run AND a.fence = c.fence
ORDER BY k.requested_at, k.run, k.parent
LIMIT %(most)s
