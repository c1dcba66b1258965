-- What a suspended run waits for, what it was answered, the agent that has its journal, and what a run was made from.
-- `waits`, `answers` and `fork` are JSON, empty for none: only decisions about the run itself and its page read them.
SET ROLE headway_owner;
ALTER TABLE headway.run
  ADD COLUMN home uuid,
  ADD COLUMN waits bytea NOT NULL DEFAULT '',
  ADD COLUMN answers bytea NOT NULL DEFAULT '',
  ADD COLUMN forked_from uuid,
  ADD COLUMN fork bytea NOT NULL DEFAULT '';
-- A run's page names the runs that were made from it.
CREATE INDEX run_forked_from ON headway.run (ws, forked_from) WHERE forked_from IS NOT NULL;
GRANT SELECT (home) ON headway.run TO headway_dispatcher;
