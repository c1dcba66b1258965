-- Runs that a run has asked for and does not get. Role app.

-- name: refused
-- Why there is none.
SELECT call, CASE WHEN deployment LIKE 'sha256:%%' THEN '' ELSE deployment END, refused, refusal FROM child_run
WHERE ws = %(ws)s AND parent = %(run)s AND refused <> '' ORDER BY requested_at LIMIT %(most)s
