"""The tables as SQLAlchemy Core sees them, for composed queries. The migrations make them; a test holds the two equal."""

from headway_control_plane.db.table_maker import make_table as _table
from headway_control_plane.db.table_maker import metadata as metadata  # noqa: PLC0414 - who compares all tables takes it from here

workspace = _table(
    "workspace",
    "ws",
    """
    bigint ws
    uuid id
    text name
    smallint shard
    timestamptz created_at
    """,
)
replica = _table(
    "replica",
    "id",
    """
    uuid id
    text address
    timestamptz started_at expires_at
    """,
)
shard = _table(
    "shard",
    "id",
    """
    smallint id
    uuid owner?
    bigint epoch
    """,
)
workspace_head = _table(
    "workspace_head",
    "ws",
    """
    bigint ws epoch offset
    integer seg
    bytea chain
    timestamptz recorded_at
    """,
)
event = _table(
    "event",
    "seg ws offset",
    """
    bigint ws
    integer seg
    bigint offset epoch
    smallint stream_kind
    uuid stream_id
    bigint fence version
    text type
    smallint schema_version
    uuid event_id
    timestamptz occurred_at recorded_at
    text actor
    uuid causation?
    text traceparent
    bytea payload chain
    """,
)
segment_index = _table(
    "segment_index",
    "ws seg",
    """
    bigint ws
    integer seg
    bigint first_offset
    """,
)
payload = _table(
    "payload",
    "ws digest",
    """
    bigint ws
    bytea digest bytes
    """,
)
late_fact = _table(
    "late_fact",
    "ws run fence seq",
    """
    bigint ws
    uuid run
    bigint fence seq
    text type
    smallint schema_version
    timestamptz occurred_at received_at
    bytea payload
    """,
)
command_dedupe = _table(
    "command_dedupe",
    "ws key_hash",
    """
    bigint ws
    bytea key_hash request_hash response
    timestamptz expires_at
    """,
)
log_chunk = _table(
    "log_chunk",
    "ws run fence first_line seg",
    """
    bigint ws
    integer seg
    uuid run
    bigint fence first_line
    integer lines
    bytea bytes
    """,
)
variables = _table("variables", "ws", "bigint ws version\nbytea entries")
pool = _table(
    "pool",
    "ws pool",
    """
    bigint ws
    uuid pool
    bigint version
    text name
    text[] permits
    integer slots
    timestamptz created_at
    """,
)
deployment = _table(
    "deployment",
    "ws deployment",
    """
    bigint ws
    uuid deployment
    bigint version
    text name flow
    uuid pool
    text environment entrypoint code_hash
    bytea parameter_schema defaults
    text description
    text[] tags
    integer retries
    bigint retry_delay_ms
    text on_lost
    bigint cancel_grace_ms kill_grace_ms
    timestamptz created_at deployed_at
    text isolation?
    integer max_runs_per_process max_memory_mb
    text flow_version
    """,
)
agent = _table(
    "agent",
    "ws agent",
    """
    bigint ws
    uuid agent
    bigint version
    text name
    uuid pool
    bytea public_key
    timestamptz enrolled_at revoked_at?
    """,
)
session = _table(
    "session",
    "ws session",
    """
    bigint ws
    uuid session
    bigint version
    smallint shard
    text status
    uuid agent pool replica
    text host agent_version
    integer slots
    timestamptz opened_at lost_at? closed_at?
    text closed_reason
    boolean handover
    timestamptz expires_at?
    bigint incarnation
    timestamptz resumed_at?
    """,
)
run = _table(
    "run",
    "ws run",
    """
    bigint ws
    uuid run
    bigint version
    smallint shard
    text status reason
    bigint fence
    uuid deployment pool
    text flow name
    text[] tags
    text environment entrypoint code_hash
    bytea parameters
    smallint priority
    integer retries
    bigint retry_delay_ms
    text on_lost
    bigint cancel_grace_ms kill_grace_ms
    integer attempts_failed deaths
    uuid session?
    timestamptz created_at due_at started_at? ended_at?
    text error_class
    bytea error_text result_digest
    uuid home?
    bytea waits
    uuid forked_from?
    bytea fork
    text isolation?
    integer max_runs_per_process max_memory_mb
    uuid parent_run?
    bytea parent_call
    text flow_version
    """,
)
run_answer = _table(
    "run_answer",
    "ws run call",
    """
    bigint ws
    uuid run
    bytea call digest
    """,
)
child_run = _table(
    "child_run",
    "ws parent call",
    """
    bigint ws
    uuid parent run
    bytea call parameters labels
    smallint shard
    text deployment refused
    timestamptz due_at? requested_at
    boolean has_parameters waited outlives settled
    bytea refusal
    """,
)
run_tag = _table(
    "run_tag",
    "ws tag run",
    """
    bigint ws
    text tag
    uuid run
    """,
)
attempt = _table(
    "attempt",
    "ws run fence",
    """
    bigint ws
    uuid run
    bigint fence
    text status
    uuid session agent
    bigint last_seq
    timestamptz granted_at started_at? ended_at?
    text outcome
    boolean cancel
    """,
)
slot = _table(
    "slot",
    "ws pool run",
    """
    bigint ws
    uuid pool run
    bigint fence
    """,
)
timer = _table(
    "timer",
    "ws stream_kind stream_id",
    """
    bigint ws
    smallint stream_kind
    uuid stream_id
    smallint shard
    text kind
    timestamptz due_at
    """,
)
run_wait = _table(
    "run_wait",
    "ws run since",
    """
    bigint ws
    uuid run
    timestamptz since until?
    text reason object
    """,
)
api_key = _table(
    "api_key",
    "id",
    """
    text id
    bigint ws
    bytea secret_hash
    text name
    timestamptz created_at expires_at? revoked_at?
    """,
)
enrolment_token = _table(
    "enrolment_token",
    "id",
    """
    text id
    bigint ws
    bytea secret_hash
    uuid pool
    timestamptz created_at expires_at used_at?
    uuid agent?
    """,
)
projection_active = _table(
    "projection_active",
    "projection",
    """
    text projection
    integer version
    """,
)
projection_checkpoint = _table(
    "projection_checkpoint",
    "ws projection version",
    """
    bigint ws
    text projection
    integer version
    bigint epoch offset events unknown_events
    text failure
    timestamptz updated_at
    """,
)
task_timeline = _table(
    "task_timeline",
    "ws version run fence call",
    """
    bigint ws
    integer version
    uuid run
    bigint fence
    bytea call parent
    text kind name status
    bigint first_offset
    timestamptz started_at ended_at?
    integer tries
    jsonb retries
    text error_class
    bytea error_text
    jsonb result?
    integer calls
    bigint busy_us? median_us? longest_us?
    bytea run_name packed?
    """,
)
subflow = _table(
    "subflow",
    "ws version run call",
    """
    bigint ws
    integer version
    uuid run place
    bytea call parent error_text
    bigint fence first_offset
    text name status error_class
    timestamptz started_at ended_at?
    """,
)
task_counts = _table(
    "task_counts",
    "ws version run fence",
    """
    bigint ws
    integer version
    uuid run
    bigint fence
    integer running retrying completed failed cancelled skipped interrupted paused
    """,
)
