-- Which runs runs asked for. A row is written with the fact that asks; a service makes the run, or refuses it, and settles the row.
-- `settled` alone is ever changed, with `refused` (why there is no such run), and is in no index but the one that it leaves.
SET ROLE headway_owner;
CREATE TABLE headway.child_run (
  ws bigint NOT NULL,
  parent uuid NOT NULL,
  run uuid NOT NULL,
  call bytea NOT NULL,
  parameters bytea NOT NULL,
  labels bytea NOT NULL,
  shard smallint NOT NULL,
  deployment text NOT NULL,
  refused text NOT NULL DEFAULT '',
  due_at timestamptz,
  requested_at timestamptz NOT NULL,
  has_parameters boolean NOT NULL,
  waited boolean NOT NULL,
  outlives boolean NOT NULL,
  settled boolean NOT NULL DEFAULT false,
  PRIMARY KEY (ws, parent, call)
);
CREATE INDEX child_run_unsettled ON headway.child_run (shard, requested_at) WHERE NOT settled;

ALTER TABLE headway.run
  ADD COLUMN parent_run uuid,
  ADD COLUMN parent_call bytea NOT NULL DEFAULT '';
-- A run's page names the runs that it asked for; a cancel reaches those that are under way.
CREATE INDEX run_parent ON headway.run (ws, parent_run, run) WHERE parent_run IS NOT NULL;
CREATE INDEX run_open_children ON headway.run (shard) WHERE parent_run IS NOT NULL AND ended_at IS NULL;

ALTER TABLE headway.child_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE headway.child_run FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON headway.child_run TO headway_app, headway_auditor USING (ws = current_setting('app.ws')::bigint);
CREATE POLICY named_workspaces ON headway.child_run TO headway_committer USING (ws = ANY (current_setting('app.workspaces')::bigint[]));
CREATE POLICY scheduling ON headway.child_run TO headway_dispatcher USING (true);
GRANT SELECT ON headway.child_run TO headway_app, headway_auditor;
GRANT SELECT, INSERT ON headway.child_run TO headway_committer;
GRANT SELECT (ws, parent, call, shard, run, waited, outlives, requested_at, settled, refused) ON headway.child_run TO headway_dispatcher;
GRANT UPDATE (settled, refused) ON headway.child_run TO headway_dispatcher;
GRANT SELECT (parent_run, parent_call, ended_at) ON headway.run TO headway_dispatcher;
