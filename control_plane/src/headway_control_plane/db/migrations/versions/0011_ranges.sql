SET ROLE headway_owner;
-- A row is one call, or a range: `calls` of them, completed, leaves, whose first one is `call`. Of a range: what its calls took, and `packed`,
-- a CallsEnded with their keys and times. All these have constant defaults, so that no row is written anew.
ALTER TABLE headway.task_timeline
  ADD COLUMN calls integer NOT NULL DEFAULT 1,
  ADD COLUMN busy_us bigint,
  ADD COLUMN median_us bigint,
  ADD COLUMN longest_us bigint,
  ADD COLUMN run_name bytea NOT NULL DEFAULT '',   -- digest of the call's own name
  ADD COLUMN packed bytea;
