-- What runs leave beside their calls: artifacts and points of metrics. Read model `task_timeline`, so its versions and its checkpoint are theirs.
SET ROLE headway_owner;
SET search_path = headway;

CREATE TABLE artifact (
  ws bigint NOT NULL, version integer NOT NULL, run uuid NOT NULL, id bytea NOT NULL,
  fence bigint NOT NULL, call bytea NOT NULL, kind text NOT NULL,
  key text NOT NULL,                           -- empty: of this run alone
  number bigint NOT NULL,                      -- which version of its key, from 1; 0 without a key
  latest boolean NOT NULL,                     -- of its key
  media_type text NOT NULL, size_bytes bigint NOT NULL,
  content bytea NOT NULL, description bytea NOT NULL,   -- digests; empty when withheld or none
  percent double precision,
  first_offset bigint NOT NULL, saved_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
  PRIMARY KEY (ws, version, run, id)
) WITH (fillfactor = 70);                      -- a progress moves in place
CREATE UNIQUE INDEX artifact_history ON artifact (ws, version, key, number) WHERE key <> '';
CREATE INDEX artifact_latest ON artifact (ws, version, key) WHERE latest;
CREATE INDEX artifact_of_run ON artifact (ws, version, run, first_offset);

CREATE TABLE metric_batch (
  ws bigint NOT NULL, version integer NOT NULL, run uuid NOT NULL, series bytea NOT NULL, call bytea NOT NULL,
  first bigint NOT NULL,                       -- points of this call before these
  recorded bigint NOT NULL,                    -- by user code; at least as many as are kept
  name text NOT NULL, unit text NOT NULL,
  first_offset bigint NOT NULL, told_at timestamptz NOT NULL,
  kept integer NOT NULL,
  lowest double precision, highest double precision, newest double precision,
  points double precision[] NOT NULL,
  times bigint[] NOT NULL,                     -- microseconds since 1970
  steps bigint[] NOT NULL,                     -- empty, or one for each point
  PRIMARY KEY (ws, version, run, series, call, first)
);

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['artifact', 'metric_batch']
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY one_workspace ON %I TO headway_app, headway_auditor USING (ws = current_setting(''app.ws'')::bigint)', t);
    EXECUTE format('GRANT SELECT ON %I TO headway_app, headway_auditor', t);
    EXECUTE format('CREATE POLICY named_workspaces ON %I TO headway_committer, headway_projector USING (ws = ANY (current_setting(''app.workspaces'')::bigint[]))', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO headway_projector', t);
  END LOOP;
END $$;
