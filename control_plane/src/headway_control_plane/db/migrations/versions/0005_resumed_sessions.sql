-- When a session was last resumed, from lost or from another replica; NULL: never.
SET ROLE headway_owner;
ALTER TABLE headway.session ADD COLUMN resumed_at timestamptz;
