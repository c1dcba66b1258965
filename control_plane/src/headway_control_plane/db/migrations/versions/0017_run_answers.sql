-- What was answered to the waits of a run's newest suspension, one row each. A row is written with the event that answers, and goes with the wait. What was
-- said is kept under its digest, where it can be erased.
SET ROLE headway_owner;
CREATE TABLE headway.run_answer (
  ws bigint NOT NULL,
  run uuid NOT NULL,
  call bytea NOT NULL,
  digest bytea NOT NULL,
  PRIMARY KEY (ws, run, call)
);

-- What stands moves in the same transaction. Runs that have ended have no answers: the index of the open ones leads to all that have any. The owner is
-- held to the policies of `run` like everybody, and they name no rows for it: they let it through for this statement.
ALTER TABLE headway.run NO FORCE ROW LEVEL SECURITY;
INSERT INTO headway.run_answer (ws, run, call, digest)
SELECT r.ws, r.run, decode(answer ->> 0, 'hex'), decode(answer ->> 1, 'hex')
FROM headway.run r CROSS JOIN LATERAL jsonb_array_elements(convert_from(r.answers, 'UTF8')::jsonb) AS answer
WHERE r.ended_at IS NULL AND r.answers <> ''
ON CONFLICT DO NOTHING;
ALTER TABLE headway.run FORCE ROW LEVEL SECURITY;
-- Gone at once, and not in a later migration: a control plane from before would look here for what was answered since, and must fail instead.
ALTER TABLE headway.run DROP COLUMN answers;

ALTER TABLE headway.run_answer ENABLE ROW LEVEL SECURITY;
ALTER TABLE headway.run_answer FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON headway.run_answer TO headway_app, headway_auditor USING (ws = current_setting('app.ws')::bigint);
CREATE POLICY named_workspaces ON headway.run_answer TO headway_committer USING (ws = ANY (current_setting('app.workspaces')::bigint[]));
GRANT SELECT ON headway.run_answer TO headway_app, headway_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON headway.run_answer TO headway_committer;
