SET ROLE headway_owner;
-- A run made from another takes the runs that are under way: several calls ask for one. `run` never changes, so settling stays a hot update; and it
-- stands alone, so that nobody who looks for a call walks through a workspace here.
CREATE INDEX child_run_run ON headway.child_run (run);
-- `refusal`: what `refused` says in a word, as its call is told it: JSON with message, hint and problems. Written once, with `refused`.
ALTER TABLE headway.child_run ADD COLUMN refusal bytea NOT NULL DEFAULT '';
GRANT SELECT (refusal), UPDATE (refusal) ON headway.child_run TO headway_dispatcher;
