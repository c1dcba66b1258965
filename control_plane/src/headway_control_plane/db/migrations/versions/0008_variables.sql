-- The variables of a workspace, all in one row, for they are read and moved as a whole: `entries` is JSON, name -> digest of the value,
-- size, tags, version, time. The values themselves lie in `payload`. No index but the key moves with an update.
SET ROLE headway_owner;
CREATE TABLE headway.variables (
  ws bigint PRIMARY KEY,
  version bigint NOT NULL,
  entries bytea NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE headway.variables ENABLE ROW LEVEL SECURITY;
ALTER TABLE headway.variables FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON headway.variables TO headway_app, headway_auditor USING (ws = current_setting('app.ws')::bigint);
CREATE POLICY named_workspaces ON headway.variables TO headway_committer, headway_projector
  USING (ws = ANY (current_setting('app.workspaces')::bigint[]));
GRANT SELECT ON headway.variables TO headway_app, headway_auditor;
GRANT SELECT, INSERT, UPDATE ON headway.variables TO headway_committer;
