-- Statements about output. They run as headway_committer.

-- name: lock_attempt
-- One sender at a time; the segment says where its first lines can lie.
SELECT floor(extract(epoch FROM granted_at) / 86400)::integer - 1 FROM attempt
WHERE ws = %(ws)s AND run = %(run)s AND fence = %(fence)s FOR NO KEY UPDATE

-- name: last_line
-- The newest chunk of an attempt.
SELECT first_line + lines - 1 FROM log_chunk
WHERE ws = %(ws)s AND run = %(run)s AND fence = %(fence)s AND seg >= %(seg)s
ORDER BY first_line DESC LIMIT 1

-- name: keep_chunk
-- A chunk lies in the segment of the day on which it came.
INSERT INTO log_chunk (ws, seg, run, fence, first_line, lines, bytes)
VALUES (%(ws)s, floor(extract(epoch FROM headway_now()) / 86400)::integer, %(run)s, %(fence)s, %(first_line)s, %(lines)s, %(bytes)s)
