-- The foundation: roles, the log, inline rows, credentials, the first projection. Forward only.
-- Rules: `ws` leads every key and index that a tenant's query uses; every table with `ws` has forced row-level security; core SQL only.

-- Roles ------------------------------------------------------------------------------------------
-- owner runs migrations; the others are what processes become (SET ROLE). None may log in by itself or bypass policies.
DO $$
DECLARE role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['headway_owner', 'headway_maintenance', 'headway_app', 'headway_committer', 'headway_projector', 'headway_dispatcher', 'headway_auth', 'headway_auditor']
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', role);
    END IF;
    EXECUTE format('GRANT %I TO CURRENT_USER', role);
  END LOOP;
END $$;

CREATE SCHEMA headway AUTHORIZATION headway_owner;
GRANT USAGE ON SCHEMA headway TO headway_maintenance, headway_app, headway_committer, headway_projector, headway_dispatcher, headway_auth, headway_auditor;
GRANT CREATE ON SCHEMA headway TO headway_maintenance;
SET ROLE headway_owner;
SET search_path = headway;

-- Time in SQL is this function, so that a test can move it. An unset or empty setting means the clock.
CREATE FUNCTION headway_now() RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT clock_timestamp() + coalesce(nullif(current_setting('headway.clock_offset', true), ''), '0')::interval $$;

-- Directory ---------------------------------------------------------------------------------------
CREATE TABLE workspace (
  ws bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  name text NOT NULL UNIQUE,
  shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 1023),
  created_at timestamptz NOT NULL DEFAULT headway_now()
);

-- Shards: one lease per replica covers all its shards, as one lease per session covers all an agent's attempts.
CREATE TABLE replica (
  id uuid PRIMARY KEY,
  address text NOT NULL DEFAULT '',
  started_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE TABLE shard (
  id smallint PRIMARY KEY CHECK (id BETWEEN 0 AND 1023),
  owner uuid,
  epoch bigint NOT NULL DEFAULT 0
);
INSERT INTO shard (id) SELECT generate_series(0, 1023);

-- The log -----------------------------------------------------------------------------------------
CREATE TABLE workspace_head (
  ws bigint PRIMARY KEY,
  epoch bigint NOT NULL DEFAULT 1,
  "offset" bigint NOT NULL DEFAULT 0,          -- of the newest event; 0 = none
  seg integer NOT NULL DEFAULT 0,              -- of the newest event
  chain bytea NOT NULL,                        -- h_offset; h_0 = SHA-256 of the workspace id
  recorded_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10);

-- seg: days since 1970-01-01 UTC, never going back within a workspace.
CREATE TABLE event (
  ws bigint NOT NULL,
  seg integer NOT NULL,
  "offset" bigint NOT NULL,
  epoch bigint NOT NULL,
  stream_kind smallint NOT NULL,
  stream_id uuid NOT NULL,
  fence bigint NOT NULL,                       -- of the attempt; 0 for other streams
  version bigint NOT NULL,                     -- place in the stream, from 1; of a fact: its seq
  type text NOT NULL,
  schema_version smallint NOT NULL,
  event_id uuid NOT NULL,
  occurred_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  actor text NOT NULL,
  causation uuid,
  traceparent text NOT NULL,
  payload bytea NOT NULL,
  chain bytea NOT NULL,                        -- h_offset
  PRIMARY KEY (seg, ws, "offset")
) PARTITION BY RANGE (seg);
-- Second wall behind the guards: one event per place of a stream; for facts this is the fact key (run, fence, seq).
CREATE UNIQUE INDEX event_stream ON event (seg, ws, stream_kind, stream_id, fence, version);

CREATE TABLE segment_index (
  ws bigint NOT NULL,
  seg integer NOT NULL,
  first_offset bigint NOT NULL,
  PRIMARY KEY (ws, seg)
);

CREATE TABLE payload (
  ws bigint NOT NULL,
  digest bytea NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (ws, digest)
);

CREATE TABLE late_fact (
  ws bigint NOT NULL,
  run uuid NOT NULL,
  fence bigint NOT NULL,
  seq bigint NOT NULL,
  type text NOT NULL,
  schema_version smallint NOT NULL,
  occurred_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  payload bytea NOT NULL,
  PRIMARY KEY (ws, run, fence, seq)
);

CREATE TABLE command_dedupe (
  ws bigint NOT NULL,
  key_hash bytea NOT NULL,
  request_hash bytea NOT NULL,
  response bytea NOT NULL,                     -- JSON
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (ws, key_hash)
);

CREATE TABLE log_chunk (
  ws bigint NOT NULL,
  seg integer NOT NULL,
  run uuid NOT NULL,
  fence bigint NOT NULL,
  first_line bigint NOT NULL,
  lines integer NOT NULL CHECK (lines > 0),
  bytes bytea NOT NULL,                        -- zstd over JSON lines
  PRIMARY KEY (ws, run, fence, first_line, seg)
) PARTITION BY RANGE (seg);

-- Inline rows: what decisions read, moved by the same transaction as the events --------------------
CREATE TABLE pool (
  ws bigint NOT NULL, pool uuid NOT NULL, version bigint NOT NULL,
  name text NOT NULL, permits text[] NOT NULL, slots integer NOT NULL CHECK (slots >= 0),
  created_at timestamptz NOT NULL,
  PRIMARY KEY (ws, pool), UNIQUE (ws, name)
);

CREATE TABLE deployment (
  ws bigint NOT NULL, deployment uuid NOT NULL, version bigint NOT NULL,
  name text NOT NULL, flow text NOT NULL, pool uuid NOT NULL, environment text NOT NULL, entrypoint text NOT NULL, code_hash text NOT NULL,
  parameter_schema bytea NOT NULL, defaults bytea NOT NULL, description text NOT NULL, tags text[] NOT NULL,
  retries integer NOT NULL, retry_delay_ms bigint NOT NULL, on_lost text NOT NULL, cancel_grace_ms bigint NOT NULL, kill_grace_ms bigint NOT NULL,
  created_at timestamptz NOT NULL, deployed_at timestamptz NOT NULL,
  PRIMARY KEY (ws, deployment), UNIQUE (ws, name)
);

CREATE TABLE agent (
  ws bigint NOT NULL, agent uuid NOT NULL, version bigint NOT NULL,
  name text NOT NULL, pool uuid NOT NULL, public_key bytea NOT NULL,
  enrolled_at timestamptz NOT NULL, revoked_at timestamptz,
  PRIMARY KEY (ws, agent)
);

CREATE TABLE session (
  ws bigint NOT NULL, session uuid NOT NULL, version bigint NOT NULL, shard smallint NOT NULL,
  status text NOT NULL CHECK (status IN ('open', 'lost', 'closed')),
  agent uuid NOT NULL, pool uuid NOT NULL, replica uuid NOT NULL, host text NOT NULL, agent_version text NOT NULL, slots integer NOT NULL,
  opened_at timestamptz NOT NULL, lost_at timestamptz, closed_at timestamptz, closed_reason text NOT NULL, handover boolean NOT NULL,
  expires_at timestamptz,                      -- the lease; renewed beside the log, never part of it
  PRIMARY KEY (ws, session)
) WITH (fillfactor = 50);
CREATE INDEX session_agent ON session (ws, agent) WHERE status <> 'closed';
CREATE INDEX session_live ON session (ws, pool) WHERE status <> 'closed';

CREATE TABLE run (
  ws bigint NOT NULL, run uuid NOT NULL, version bigint NOT NULL, shard smallint NOT NULL,
  status text NOT NULL, reason text NOT NULL, fence bigint NOT NULL,
  deployment uuid NOT NULL, pool uuid NOT NULL, flow text NOT NULL, name text NOT NULL, tags text[] NOT NULL,
  environment text NOT NULL, entrypoint text NOT NULL, code_hash text NOT NULL, parameters bytea NOT NULL,
  priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 5),
  retries integer NOT NULL, retry_delay_ms bigint NOT NULL, on_lost text NOT NULL, cancel_grace_ms bigint NOT NULL, kill_grace_ms bigint NOT NULL,
  attempts_failed integer NOT NULL, deaths integer NOT NULL, session uuid,
  created_at timestamptz NOT NULL, due_at timestamptz NOT NULL, started_at timestamptz, ended_at timestamptz,
  error_class text NOT NULL, error_text bytea NOT NULL, result_digest bytea NOT NULL,
  PRIMARY KEY (ws, run),
  CHECK ((status IN ('completed', 'failed', 'crashed', 'cancelled')) = (ended_at IS NOT NULL))
) WITH (fillfactor = 70);
-- Lists are keyset-paged by run id, which is time-ordered (UUIDv7).
CREATE INDEX run_by_status ON run (ws, status, run DESC);
CREATE INDEX run_by_deployment ON run (ws, deployment, status, run DESC);
CREATE INDEX run_by_flow ON run (ws, flow, status, run DESC);
-- What the dispatcher loads at takeover, and what needs watching.
CREATE INDEX run_open ON run (ws, status) WHERE ended_at IS NULL;

CREATE TABLE run_tag (
  ws bigint NOT NULL, tag text NOT NULL, run uuid NOT NULL,
  PRIMARY KEY (ws, tag, run)
);

CREATE TABLE attempt (
  ws bigint NOT NULL, run uuid NOT NULL, fence bigint NOT NULL,
  status text NOT NULL CHECK (status IN ('granted', 'running', 'closed')),
  session uuid NOT NULL, agent uuid NOT NULL, last_seq bigint NOT NULL,
  granted_at timestamptz NOT NULL, started_at timestamptz, ended_at timestamptz,
  outcome text NOT NULL, cancel boolean NOT NULL,
  PRIMARY KEY (ws, run, fence),
  CHECK ((status = 'closed') = (ended_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX attempt_open ON attempt (ws, run) WHERE status <> 'closed';   -- at most one open attempt a run
CREATE INDEX attempt_session ON attempt (ws, session) WHERE status <> 'closed';

-- A slot is a row tied to an open attempt; nothing counts, nothing leaks.
CREATE TABLE slot (
  ws bigint NOT NULL, pool uuid NOT NULL, run uuid NOT NULL, fence bigint NOT NULL,
  PRIMARY KEY (ws, pool, run)
);

-- One deadline a stream. Read by one statement a process and second, across workspaces: hence the second index.
CREATE TABLE timer (
  ws bigint NOT NULL, stream_kind smallint NOT NULL, stream_id uuid NOT NULL, shard smallint NOT NULL,
  kind text NOT NULL, due_at timestamptz NOT NULL,
  PRIMARY KEY (ws, stream_kind, stream_id)
) WITH (fillfactor = 50);
CREATE INDEX timer_due ON timer (due_at, shard);

-- Why a run waited, and from when to when. One open row a run.
CREATE TABLE run_wait (
  ws bigint NOT NULL, run uuid NOT NULL, since timestamptz NOT NULL, until timestamptz,
  reason text NOT NULL, object text NOT NULL,
  PRIMARY KEY (ws, run, since)
);
CREATE UNIQUE INDEX run_wait_open ON run_wait (ws, run) WHERE until IS NULL;

-- Credentials ---------------------------------------------------------------------------------------
CREATE TABLE api_key (
  id text PRIMARY KEY,                         -- the public part of the key
  ws bigint NOT NULL, secret_hash bytea NOT NULL, name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT headway_now(), expires_at timestamptz, revoked_at timestamptz
);
CREATE TABLE enrolment_token (
  id text PRIMARY KEY,
  ws bigint NOT NULL, secret_hash bytea NOT NULL, pool uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT headway_now(), expires_at timestamptz NOT NULL, used_at timestamptz, agent uuid
);

-- Projections ---------------------------------------------------------------------------------------
CREATE TABLE projection_active (
  projection text PRIMARY KEY, version integer NOT NULL
);
CREATE TABLE projection_checkpoint (
  ws bigint NOT NULL, projection text NOT NULL, version integer NOT NULL,
  epoch bigint NOT NULL, "offset" bigint NOT NULL,
  events bigint NOT NULL DEFAULT 0,            -- read so far
  unknown_events bigint NOT NULL DEFAULT 0,    -- of types that the reading code did not know, and skipped
  failure text NOT NULL DEFAULT '',            -- why the projection stands still at this offset; empty while it moves
  updated_at timestamptz NOT NULL DEFAULT headway_now(),
  PRIMARY KEY (ws, projection, version)
) WITH (fillfactor = 20);
-- Read model `task_timeline`, rows of every live version side by side.
CREATE TABLE task_timeline (
  ws bigint NOT NULL, version integer NOT NULL, run uuid NOT NULL, fence bigint NOT NULL, call bytea NOT NULL,
  parent bytea NOT NULL, kind text NOT NULL, name text NOT NULL,
  status text NOT NULL,                        -- running, retrying, completed, failed, cancelled, skipped, interrupted
  first_offset bigint NOT NULL,
  started_at timestamptz NOT NULL, ended_at timestamptz, tries integer NOT NULL,
  retries jsonb NOT NULL,                      -- [{"try", "at", "delay_us", "error_class"}], the first 20
  error_class text NOT NULL, error_text bytea NOT NULL,
  result jsonb,
  PRIMARY KEY (ws, version, run, fence, call)
);
CREATE INDEX task_timeline_order ON task_timeline (ws, version, run, fence, first_offset);
-- What a reader looks for among many: open calls, and those that did not go well.
CREATE INDEX task_timeline_notable ON task_timeline (ws, version, run, fence, status, first_offset) WHERE status NOT IN ('completed', 'skipped');
-- The same projection's sums, so that a list of runs counts nothing.
CREATE TABLE task_counts (
  ws bigint NOT NULL, version integer NOT NULL, run uuid NOT NULL, fence bigint NOT NULL,
  running integer NOT NULL, retrying integer NOT NULL, completed integer NOT NULL, failed integer NOT NULL, cancelled integer NOT NULL,
  skipped integer NOT NULL, interrupted integer NOT NULL,
  PRIMARY KEY (ws, version, run, fence)
) WITH (fillfactor = 50);

-- Who sees and does what ----------------------------------------------------------------------------
-- app, auditor: the one workspace of app.ws, reading. committer, projector: the workspaces of app.workspaces. dispatcher: the rows that scheduling
-- needs, over all workspaces, without a user's words. auth: credentials. maintenance: partitions. An unset setting is an error, never all rows.
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['workspace', 'workspace_head', 'event', 'segment_index', 'payload', 'late_fact', 'command_dedupe', 'log_chunk', 'pool', 'deployment',
    'agent', 'session', 'run', 'run_tag', 'attempt', 'slot', 'timer', 'run_wait', 'api_key', 'enrolment_token', 'projection_checkpoint', 'task_timeline', 'task_counts']
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['workspace', 'workspace_head', 'event', 'segment_index', 'payload', 'late_fact', 'log_chunk', 'pool', 'deployment',
    'agent', 'session', 'run', 'run_tag', 'attempt', 'slot', 'timer', 'run_wait', 'projection_checkpoint', 'task_timeline', 'task_counts']
  LOOP
    EXECUTE format('CREATE POLICY one_workspace ON %I TO headway_app, headway_auditor USING (ws = current_setting(''app.ws'')::bigint)', t);
    EXECUTE format('GRANT SELECT ON %I TO headway_app, headway_auditor', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['workspace', 'workspace_head', 'event', 'segment_index', 'payload', 'late_fact', 'command_dedupe', 'log_chunk', 'pool', 'deployment',
    'agent', 'session', 'run', 'run_tag', 'attempt', 'slot', 'timer', 'run_wait', 'enrolment_token', 'projection_checkpoint', 'task_timeline', 'task_counts']
  LOOP
    EXECUTE format('CREATE POLICY named_workspaces ON %I TO headway_committer, headway_projector USING (ws = ANY (current_setting(''app.workspaces'')::bigint[]))', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['workspace', 'workspace_head', 'pool', 'session', 'run', 'attempt', 'slot', 'timer', 'run_wait', 'projection_checkpoint']
  LOOP
    EXECUTE format('CREATE POLICY scheduling ON %I TO headway_dispatcher USING (true)', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['workspace', 'api_key', 'enrolment_token', 'agent']
  LOOP
    EXECUTE format('CREATE POLICY credentials ON %I TO headway_auth USING (true)', t);
  END LOOP;
END $$;

-- committer: appends, moves heads and inline rows; reads what decisions read, no content.
GRANT SELECT, INSERT, UPDATE ON workspace_head TO headway_committer;
GRANT INSERT ON event, payload, segment_index, late_fact, log_chunk TO headway_committer;
GRANT SELECT ON workspace, segment_index, late_fact TO headway_committer;
GRANT SELECT (ws, seg, "offset", chain) ON event TO headway_committer;  -- whether a COMMIT of unknown outcome happened
GRANT SELECT (ws, digest) ON payload TO headway_committer;      -- ON CONFLICT DO NOTHING needs it
GRANT SELECT (ws, seg, run, fence, first_line, lines) ON log_chunk TO headway_committer;
GRANT SELECT, INSERT, UPDATE ON pool, deployment, agent, session, run, attempt TO headway_committer;
GRANT SELECT, INSERT, UPDATE, DELETE ON slot, timer, run_wait, command_dedupe TO headway_committer;
GRANT SELECT, INSERT, DELETE ON run_tag TO headway_committer;
GRANT SELECT, UPDATE (used_at, agent) ON enrolment_token TO headway_committer;
GRANT SELECT, UPDATE ON shard TO headway_committer;             -- FOR SHARE: a grant is guarded by its shard's epoch

GRANT SELECT ON event, payload, segment_index, workspace_head, workspace TO headway_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON task_timeline, task_counts, projection_checkpoint TO headway_projector;
GRANT SELECT, INSERT, UPDATE ON projection_active TO headway_projector;
GRANT SELECT ON projection_active TO headway_app, headway_auditor, headway_dispatcher;

GRANT SELECT, INSERT, UPDATE, DELETE ON replica TO headway_dispatcher;
GRANT SELECT, UPDATE ON shard TO headway_dispatcher;
GRANT SELECT ON workspace, workspace_head, pool, attempt, slot, timer, projection_checkpoint TO headway_dispatcher;
GRANT SELECT, UPDATE (expires_at) ON session TO headway_dispatcher;
GRANT SELECT (ws, run, version, shard, status, reason, fence, deployment, pool, priority, session, created_at, due_at, started_at) ON run TO headway_dispatcher;
GRANT SELECT, INSERT, UPDATE ON run_wait TO headway_dispatcher;

GRANT SELECT ON workspace, agent TO headway_auth;
GRANT SELECT, INSERT, UPDATE ON api_key, enrolment_token TO headway_auth;
GRANT INSERT ON workspace TO headway_committer;
CREATE POLICY found_workspace ON workspace FOR INSERT TO headway_committer WITH CHECK (true);

-- maintenance owns the partitioned tables, because only an owner can add and detach partitions; forced policies keep their rows from it.
RESET ROLE;
ALTER TABLE headway.event OWNER TO headway_maintenance;
ALTER TABLE headway.log_chunk OWNER TO headway_maintenance;
