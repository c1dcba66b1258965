-- Sub-flows beside runs in one list, and the calls below a call.
SET ROLE headway_owner;
SET search_path = headway;
-- Part of the read model `task_timeline`: the first sub-flows of each run, each as its newest attempt has it. `place` is its place in the list
-- of runs: like a run's id it begins with the millisecond of its start, so that both are walked in one order.
CREATE TABLE subflow (
  ws bigint NOT NULL, version integer NOT NULL, run uuid NOT NULL, place uuid NOT NULL,
  call bytea NOT NULL, parent bytea NOT NULL, error_text bytea NOT NULL,
  fence bigint NOT NULL, first_offset bigint NOT NULL,
  name text NOT NULL, status text NOT NULL,    -- as of task_timeline, and paused
  error_class text NOT NULL,
  started_at timestamptz NOT NULL, ended_at timestamptz,
  PRIMARY KEY (ws, version, run, call)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX subflow_by_place ON subflow (ws, version, place);
CREATE INDEX subflow_by_status ON subflow (ws, version, status, place);
CREATE INDEX subflow_by_name ON subflow (ws, version, name, status, place);
-- What lies within a call, and the sub-flows among an attempt's calls. A flow that calls nothing but tasks has no row in either.
CREATE INDEX task_timeline_within ON task_timeline (ws, version, run, fence, parent, first_offset) WHERE parent <> '';
CREATE INDEX task_timeline_flows ON task_timeline (ws, version, run, fence, first_offset) WHERE kind = 'flow';

ALTER TABLE subflow ENABLE ROW LEVEL SECURITY;
ALTER TABLE subflow FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON subflow TO headway_app, headway_auditor USING (ws = current_setting('app.ws')::bigint);
CREATE POLICY named_workspaces ON subflow TO headway_committer, headway_projector USING (ws = ANY (current_setting('app.workspaces')::bigint[]));
GRANT SELECT ON subflow TO headway_app, headway_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON subflow TO headway_projector;
