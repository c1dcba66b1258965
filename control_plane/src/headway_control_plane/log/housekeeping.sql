-- Statements of housekeeping.

-- name: workspaces
-- As headway_dispatcher: all of them.
SELECT ws FROM workspace

-- name: forget_keys
-- As headway_committer: a batch of keys that are over, passing by those that a flush is just taking anew.
DELETE FROM command_dedupe d USING (
  SELECT ws, key_hash FROM command_dedupe WHERE expires_at < headway_now() LIMIT %s FOR UPDATE SKIP LOCKED
) k WHERE d.ws = k.ws AND d.key_hash = k.key_hash
