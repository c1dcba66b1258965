-- Credentials and who they belong to. Role auth: look-ups go over all workspaces, because a credential says which one it is of.

-- name: workspace
-- The tenant of a number.
SELECT ws, id, name, shard FROM workspace WHERE ws = %(ws)s

-- name: add_api_key
-- A new key.
INSERT INTO api_key (id, ws, secret_hash, name, created_at, expires_at)
VALUES (%(id)s, %(ws)s, %(secret_hash)s, %(name)s, %(created_at)s, %(expires_at)s)

-- name: api_key
-- The key with this public part.
SELECT id, ws, secret_hash, name, created_at, expires_at, revoked_at FROM api_key WHERE id = %(id)s

-- name: api_keys
-- A workspace's keys, newest first.
SELECT id, ws, secret_hash, name, created_at, expires_at, revoked_at FROM api_key WHERE ws = %(ws)s ORDER BY created_at DESC, id LIMIT 1000

-- name: revoke_api_key
-- End a key; a second time keeps the first instant.
UPDATE api_key SET revoked_at = coalesce(revoked_at, %(now)s) WHERE ws = %(ws)s AND id = %(id)s RETURNING id

-- name: add_enrolment_token
-- A new token.
INSERT INTO enrolment_token (id, ws, secret_hash, pool, created_at, expires_at)
VALUES (%(id)s, %(ws)s, %(secret_hash)s, %(pool)s, %(created_at)s, %(expires_at)s)

-- name: enrolment_token
-- The token with this public part.
SELECT id, ws, secret_hash, pool, created_at, expires_at, used_at, agent FROM enrolment_token WHERE id = %(id)s

-- name: claim_enrolment_token
-- Spend a token; no row when it was spent before.
UPDATE enrolment_token SET used_at = %(now)s, agent = %(agent)s WHERE id = %(id)s AND used_at IS NULL RETURNING id

-- name: return_enrolment_token
-- Undo the claim of this agent.
UPDATE enrolment_token SET used_at = NULL, agent = NULL WHERE id = %(id)s AND agent = %(agent)s
