"""No hot statement reads a big table from end to end: each named one, each one that stores rows, each composed lookup.

The plans are those of a database with rows enough that the planner has a choice, made without knowing the parameters, under the
role and the settings that the statement runs with.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import psycopg
import pytest
from psycopg import sql

import headway_control_plane
from headway_control_plane import log, projections
from headway_control_plane.db.pool import BY_KEY, LOOKS_UP_BY_KEY
from headway_control_plane.db.queries import parse_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.log.row_table import RowTable
from headway_control_plane.projections.reading import Prepared
from support.postgres import ScratchDatabase, ScratchServer

pytestmark = pytest.mark.postgres

RUNS = 20_000

# Who says what is in a file. Files that are not here are in OFFLINE.
FILES = {
    "background/children.sql": Role.DISPATCHER,
    "background/sweeper.sql": Role.DISPATCHER,
    "db/asked_runs.sql": Role.APP,
    "db/credentials.sql": Role.AUTH,
    "dispatch/queries.sql": Role.DISPATCHER,
    "dispatch/shards.sql": Role.DISPATCHER,
    "grpc_api/queries.sql": Role.APP,
    "log/flush.sql": Role.COMMITTER,
    "log/heads.sql": Role.PROJECTOR,
    "log/lines.sql": Role.COMMITTER,
    "log/reader.sql": Role.APP,
    "projections/artifacts.sql": Role.APP,
    "projections/calls.sql": Role.APP,
    "projections/children.sql": Role.APP,
    "projections/checkpoints.sql": Role.PROJECTOR,
    "projections/forks.sql": Role.APP,
    "projections/outputs.sql": Role.PROJECTOR,
    "projections/overview.sql": Role.APP,
    "projections/subflow_rows.sql": Role.PROJECTOR,
    "projections/task_timeline.sql": Role.PROJECTOR,
    "projections/tasks.sql": Role.APP,
    "projections/waits.sql": Role.APP,
    "projections/wishes.sql": Role.APP,
}
OFFLINE = {
    "log/epochs.sql": "once after a restore, over every workspace",
    "log/founding.sql": "once a workspace",
    "log/housekeeping.sql": "once a day, over all that has expired",
    "log/invariants.sql": "a check of everything, by hand and in tests",
    "log/segments.sql": "once a day, on partitions as such",
    "projections/compare.sql": "compares a whole read model with another, by hand",
}
# Statements that another role says than the rest of their file.
OTHER_ROLES = {
    "background/children.sql:wanted": Role.APP,
    "grpc_api/queries.sql:find_agent": Role.AUTH,
    "grpc_api/queries.sql:revoked_agents": Role.AUTH,
    "grpc_api/queries.sql:session_attempts": Role.DISPATCHER,
    "grpc_api/queries.sql:ended_runs": Role.DISPATCHER,
    "grpc_api/queries.sql:renew_sessions": Role.DISPATCHER,
}
# Statements of the hot files that may read a big table whole, and why.
MAY_SCAN: Mapping[str, str] = {
    "db/credentials.sql:api_keys": "somebody lists the keys of a workspace; there are a few, and keys in all no more than people",
}

SEED = """
INSERT INTO workspace (id, name, shard) SELECT gen_random_uuid(), 'w' || n, n FROM generate_series(1, 40) AS n;
INSERT INTO workspace_head (ws, epoch, "offset", seg, chain) SELECT ws, 1, 0, 1, '' FROM workspace ON CONFLICT DO NOTHING;
CREATE TEMP TABLE made AS
  SELECT n, (SELECT min(ws) FROM workspace) + n % 40 AS ws, md5('run' || n)::uuid AS run, now() - n * interval '1 min' AS at,
    n < 200 AS open FROM generate_series(1, {runs}) AS n;
INSERT INTO run (ws, run, version, shard, status, reason, fence, deployment, pool, flow, name, tags, environment, entrypoint, code_hash, parameters,
    priority, retries, retry_delay_ms, on_lost, cancel_grace_ms, kill_grace_ms, attempts_failed, deaths, created_at, due_at, ended_at, error_class,
    error_text, result_digest)
  SELECT ws, run, 3, 1, CASE WHEN open THEN 'running' ELSE 'completed' END, '', 1, md5('d' || n % 20)::uuid, md5('p')::uuid, 'f', 'r', '{{t}}',
    'e', 'm:f', '', '', 3, 0, 0, 'retry', 0, 0, 0, 0, at, at, CASE WHEN NOT open THEN at END, '', '', '' FROM made;
UPDATE run SET parent_run = (SELECT m.run FROM made m WHERE m.ws = made.ws AND m.n = made.n + 40), parent_call = sha256(made.n::text::bytea)
  FROM made WHERE made.ws = run.ws AND made.run = run.run AND made.n % 3 = 0;
INSERT INTO child_run SELECT ws, parent_run, run, parent_call, '', '', 1, 'd', '', NULL, created_at, false, true, false, ended_at IS NOT NULL
  FROM run WHERE parent_run IS NOT NULL;
INSERT INTO run_answer SELECT ws, run, sha256(n::text::bytea), '' FROM made;
INSERT INTO run_tag SELECT ws, 't' || n % 30, run FROM made;
INSERT INTO attempt (ws, run, fence, status, session, agent, last_seq, granted_at, ended_at, outcome, cancel)
  SELECT ws, run, 1, CASE WHEN open THEN 'running' ELSE 'closed' END, md5('s' || n)::uuid, md5('a')::uuid, 3, at, CASE WHEN NOT open THEN at END,
    'completed', false FROM made;
INSERT INTO session (ws, session, version, shard, status, agent, pool, replica, host, agent_version, slots, opened_at, closed_reason, handover, expires_at)
  SELECT ws, md5('s' || n)::uuid, 1, 1, CASE WHEN open THEN 'open' ELSE 'closed' END, md5('a' || n)::uuid, md5('p')::uuid, md5('r')::uuid, 'h', '1', 8,
    at, '', false, at FROM made;
INSERT INTO agent (ws, agent, version, name, pool, public_key, enrolled_at) SELECT ws, md5('a' || n)::uuid, 1, 'a', md5('p')::uuid, '', at FROM made;
INSERT INTO slot SELECT ws, md5('p')::uuid, run, 1 FROM made;
INSERT INTO timer SELECT ws, 1, run, 1, 'start', at + interval '1 year' FROM made;
INSERT INTO run_wait SELECT ws, run, at, at, 'slots', '' FROM made;
INSERT INTO payload SELECT ws, sha256(n::text::bytea), '' FROM made;
INSERT INTO late_fact SELECT ws, run, 1, 1, 'T', 1, at, at, '' FROM made;
INSERT INTO command_dedupe SELECT ws, sha256(n::text::bytea), '', '', at FROM made;
INSERT INTO task_timeline SELECT ws, 1, run, 1, '', '', 'task', 't', 'completed', n, at, at, 1, '[]', '', '', NULL FROM made;
INSERT INTO subflow SELECT ws, 1, run, run, sha256(n::text::bytea), '', '', 1, n, 'f' || n % 20, 'completed', '', at, at FROM made;
INSERT INTO task_counts SELECT ws, 1, run, 1, 0, 0, 1, 0, 0, 0, 0 FROM made;
INSERT INTO api_key (id, ws, secret_hash, name) SELECT 'k' || n, ws, '', 'k' FROM made;
INSERT INTO enrolment_token (id, ws, secret_hash, pool, expires_at) SELECT 'k' || n, ws, '', md5('p')::uuid, at FROM made;
INSERT INTO segment_index SELECT ws, 1, 1 FROM workspace ON CONFLICT DO NOTHING;
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (1) TO (2);
CREATE TABLE log_chunk_1 PARTITION OF log_chunk FOR VALUES FROM (1) TO (2);
INSERT INTO event SELECT ws, 1, n, 1, 7, run, 1, 1, 'T', 1, gen_random_uuid(), at, at, 'a', NULL, '', '', '' FROM made;
INSERT INTO log_chunk SELECT ws, 1, run, 1, 1, 1, '' FROM made;
ANALYZE
"""
HEARS_OF_FLUSHES = {
    "background/sweeper.sql:orphans_of_sessions",
    "dispatch/queries.sql:single_runs",
    "dispatch/queries.sql:single_sessions",
    "grpc_api/queries.sql:assignments",
    "grpc_api/queries.sql:ended_runs",
    "grpc_api/queries.sql:session_attempts",
}
SETTINGS = {"app.ws": "1", "app.workspaces": "{1}"}
# Indexes of what is open or unusual alone: short, however long the table is.
OF_WHAT_IS_OPEN = frozenset(
    {
        "run_open",
        "attempt_open",
        "child_run_unsettled",
        "run_open_children",
        "attempt_session",
        "session_live",
        "session_agent",
        "run_wait_open",
    }
)
DELETED_FROM = frozenset({"run_answer", "slot", "timer"})
BIG = frozenset(
    [
        "child_run",
        "run",
        "run_answer",
        "run_tag",
        "attempt",
        "session",
        "agent",
        "slot",
        "timer",
        "run_wait",
        "payload",
        "late_fact",
        "command_dedupe",
        "task_timeline",
        "task_counts",
        "subflow",
        "api_key",
        "enrolment_token",
        "event_1",
        "log_chunk_1",
    ]
)

COLUMN_COMPARED = re.compile(r"\((\w+) =")


@dataclass(frozen=True)
class Statement:
    name: str
    text: str
    role: Role


def named() -> Iterator[Statement]:
    for file, role in FILES.items():
        text = files(headway_control_plane).joinpath(file).read_text(encoding="utf-8")
        for name, statement in parse_queries(text, source=file).items():
            full_name = f"{file}:{name}"
            yield Statement(full_name, statement, OTHER_ROLES.get(full_name, role))


def members(package) -> Iterator[tuple[str, object]]:
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for name, value in vars(importlib.import_module(module.name)).items():
            yield f"{module.name.removeprefix('headway_control_plane.')}:{name}", value


def of_rows() -> Iterator[Statement]:
    """What a flush loads and stores."""
    for name, value in members(log):
        if isinstance(value, RowTable):
            for part in ("_upsert", "_delete") if value.name in DELETED_FROM else ("_upsert",):
                yield Statement(name + part, getattr(value, part), Role.COMMITTER)
        elif name.rpartition(":")[2].startswith(("LOAD_", "LOCK_", "INSERT_")):
            yield Statement(name, str(value), Role.COMMITTER)


def composed() -> Iterator[Statement]:
    for name, value in members(projections):
        if isinstance(value, Prepared):
            text, _ = value.compiled
            yield Statement(name, text.decode(), Role.APP)


def of_each_flush(statement: Statement) -> bool:
    """What is said for each run or session that changes: by a flush, or by those who hear of it."""
    return statement.role is Role.COMMITTER or statement.name in HEARS_OF_FLUSHES


@cache
def statements() -> tuple[Statement, ...]:
    return tuple({s.text: s for s in (*named(), *of_rows(), *composed())}.values())


@pytest.fixture(scope="module")
def filled(postgres_server: ScratchServer) -> Iterator[ScratchDatabase]:
    with postgres_server.database() as database:
        with database.connect() as connection:
            connection.execute(SEED.format(runs=RUNS))
        yield database


def numbered(statement: str) -> tuple[str, int]:
    """Return a statement with $1, $2, ... in place of psycopg's parameters, and how many there are."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name = match[1] or f"the {len(names)}th"
        return f"${names.setdefault(name, len(names) + 1)}"

    return re.sub(r"%%|%\((\w+)\)[sbt]|%[sbt]", number, statement), len(names)


def scanned(connection: psycopg.Connection, statement: Statement) -> set[str]:
    """The big tables that the statement's generic plan reads from end to end."""
    return {n["Relation Name"] for n in planned(connection, statement) if reads_all(n)} & BIG


def walked(connection: psycopg.Connection, statement: Statement) -> set[str]:
    """The big tables of which the statement's generic plan reads all that a workspace has."""
    nodes = [n for n in planned(connection, statement) if n.get("Relation Name") in BIG]
    return {
        n["Relation Name"]
        for n in nodes
        if reads_all(n) or set(COLUMN_COMPARED.findall(n.get("Index Cond", ""))) == {"ws"}
    }


def planned(connection: psycopg.Connection, statement: Statement) -> list[dict]:
    """The nodes of the statement's generic plan, under its role and settings."""
    text, count = numbered(statement.text)
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    by_key = BY_KEY if statement.role in LOOKS_UP_BY_KEY else {}
    settings = by_key | {"plan_cache_mode": "force_generic_plan"}
    with connection.transaction(force_rollback=True):
        for name, value in {"role": statement.role, **SETTINGS, **settings}.items():
            connection.execute("SELECT set_config(%s, %s, true)", [name, value])
        connection.execute(f"PREPARE planned AS {text}".encode())
        found = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE planned{values}".encode())
        (answer,) = found.fetchone()
        connection.execute("DEALLOCATE planned")
    explained = answer if isinstance(answer, list) else json.loads(answer)
    return [node for each in explained for node in below(each["Plan"])]


def reads_all(node: dict) -> bool:
    """Whether a node reads a table, or all of an index that is as long as its table."""
    match node["Node Type"]:
        case "Seq Scan":
            return True
        case "Index Scan" | "Index Only Scan":
            return "Index Cond" not in node and node["Index Name"] not in OF_WHAT_IS_OPEN
        case _:
            return False


def below(plan: dict) -> Iterator[dict]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from below(child)


def test_every_query_file_is_looked_at() -> None:
    root = files(headway_control_plane)
    found = {
        f"{folder.name}/{file.name}"
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
    assert found == FILES.keys() | OFFLINE.keys()
    assert all(any(s.name.startswith(file) for s in statements()) for file in FILES)
    assert MAY_SCAN.keys() <= {s.name for s in statements()}


def test_no_hot_statement_reads_a_big_table_whole(filled: ScratchDatabase) -> None:
    with filled.connect() as connection:
        connection.execute(sql.SQL("SET search_path = headway"))
        found = {s.name: scanned(connection, s) for s in statements()}
    assert {name: tables for name, tables in found.items() if tables and name not in MAY_SCAN} == {}
    assert [
        name for name in MAY_SCAN if not found[name]
    ] == []  # a reason that no longer holds goes


def test_what_a_flush_looks_up_is_found_by_key_in_a_new_database_too(
    postgres_server: ScratchServer,
) -> None:
    """Plans are kept, and this one has no statistics yet: what looks cheapest now must be right when the tables have grown."""
    with postgres_server.database() as database, database.connect() as connection:
        connection.execute(sql.SQL("SET search_path = headway"))
        connection.execute("CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (1) TO (2)")
        found = {s.name: walked(connection, s) for s in statements() if of_each_flush(s)}
    assert len(found) > 20
    assert {name: tables for name, tables in found.items() if tables} == {}


def test_a_missing_index_is_seen(filled: ScratchDatabase) -> None:
    [due] = (s for s in statements() if s.name == "background/sweeper.sql:due")
    with filled.connect(autocommit=False) as connection:
        assert scanned(connection, due) == set()
        connection.execute("DROP INDEX timer_due")
        assert scanned(connection, due) == {"timer"}
        connection.rollback()
