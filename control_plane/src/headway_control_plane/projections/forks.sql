-- What a run can be made from. Role app.

-- name: line
-- A run and those that it was made from, the first one first, each with the cut that the next one of the line made; and the agent that has the
-- journal of the last one; and whether another agent has executed it too.
WITH RECURSIVE line AS (
  SELECT run.run, run.forked_from, ''::bytea AS cut, run.fork, 0 AS depth FROM run WHERE run.ws = %(ws)s AND run.run = %(run)s
  UNION ALL
  SELECT run.run, run.forked_from, line.fork, run.fork, line.depth + 1
  FROM line JOIN run ON run.ws = %(ws)s AND run.run = line.forked_from
)
SELECT line.run, line.cut, coalesce(attempt.agent, last.home), EXISTS (
  SELECT FROM attempt other WHERE other.ws = %(ws)s AND other.run = line.run AND other.agent <> coalesce(attempt.agent, last.home))
FROM line
JOIN run last ON last.ws = %(ws)s AND last.run = %(run)s
LEFT JOIN attempt ON attempt.ws = %(ws)s AND attempt.run = last.run AND attempt.fence = last.fence
ORDER BY line.depth DESC

-- name: calls
-- The calls of a run, attempt by attempt; of the attempts of one agent, for no other has them in its journal.
SELECT t.fence, t.call, t.parent, t.name, t.kind, t.status, t.started_at, t.ended_at, t.result, t.calls,
       t.packed
FROM attempt
JOIN task_timeline t ON t.ws = %(ws)s AND t.run = %(run)s AND t.fence = attempt.fence
  AND t.version = (SELECT version FROM projection_active WHERE projection = 'task_timeline')
WHERE attempt.ws = %(ws)s AND attempt.run = %(run)s AND attempt.agent = %(agent)s
ORDER BY t.fence, t.first_offset
LIMIT %(limit)s
