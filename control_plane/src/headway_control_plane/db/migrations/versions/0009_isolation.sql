-- NULL: each run has a process of its own. The limits are 0 then.
SET ROLE headway_owner;
ALTER TABLE headway.deployment
  ADD COLUMN isolation text,
  ADD COLUMN max_runs_per_process integer NOT NULL DEFAULT 0,
  ADD COLUMN max_memory_mb integer NOT NULL DEFAULT 0;
ALTER TABLE headway.run
  ADD COLUMN isolation text,
  ADD COLUMN max_runs_per_process integer NOT NULL DEFAULT 0,
  ADD COLUMN max_memory_mb integer NOT NULL DEFAULT 0;
