"""Who sees and does what: every table and every role, with no workspace set, with one, with another's."""

import psycopg
import pytest

from headway_control_plane.db.roles import Role
from support.log_fixtures import calls, exited, new_fleet, open_log, started

pytestmark = pytest.mark.postgres

LOG = {"event", "late_fact", "log_chunk", "payload", "segment_index", "workspace", "workspace_head"}
INLINE = {
    "agent",
    "attempt",
    "child_run",
    "deployment",
    "pool",
    "run",
    "run_answer",
    "run_tag",
    "run_wait",
    "session",
    "slot",
    "timer",
    "variables",
}
PROJECTED = {
    "artifact",
    "metric_batch",
    "projection_checkpoint",
    "subflow",
    "task_counts",
    "task_timeline",
}
CREDENTIALS = {"api_key", "enrolment_token"}
EVERYTHING = LOG | INLINE | PROJECTED | CREDENTIALS | {"command_dedupe"}

# What a role may read as a whole, and in how many workspaces at once: one (app.ws), named (app.workspaces), or all.
READS = {
    Role.APP: ("one", LOG | INLINE | PROJECTED),
    Role.AUDITOR: ("one", LOG | INLINE | PROJECTED),
    Role.COMMITTER: (
        "named",
        {"command_dedupe", "enrolment_token", "late_fact", "segment_index", "workspace", "workspace_head"} | INLINE,
    ),
    Role.PROJECTOR: ("named", {"event", "payload", "segment_index", "workspace", "workspace_head"} | PROJECTED),
    Role.DISPATCHER: (
        "all",
        {"attempt", "pool", "projection_checkpoint", "run_wait", "session", "slot", "timer", "workspace", "workspace_head"},
    ),
    Role.AUTH: ("all", {"agent", "workspace"} | CREDENTIALS),
    Role.MAINTENANCE: ("none", {"event", "log_chunk"}),
}  # fmt: skip
# Of these a role may read some columns.
READS_PARTLY = {
    Role.COMMITTER: {"event", "log_chunk", "payload"},
    Role.DISPATCHER: {"child_run", "run"},
}
# What a role may write as a whole; single columns beside it are listed below.
WRITES = {
    Role.APP: set(),
    Role.AUDITOR: set(),
    Role.COMMITTER: {
        *((table, "INSERT") for table in LOG | INLINE | {"command_dedupe"}),
        *((table, "UPDATE") for table in INLINE - {"child_run", "run_tag"} | {"command_dedupe", "workspace_head"}),
        *((table, "DELETE") for table in ("slot", "timer", "run_wait", "run_answer", "run_tag", "command_dedupe")),
    },
    Role.PROJECTOR: {(table, verb) for table in PROJECTED for verb in ("INSERT", "UPDATE", "DELETE")},
    Role.DISPATCHER: {("run_wait", "INSERT"), ("run_wait", "UPDATE")},
    Role.AUTH: {(table, verb) for table in CREDENTIALS for verb in ("INSERT", "UPDATE")},
    Role.MAINTENANCE: {(t, v) for t in ("event", "log_chunk") for v in ("INSERT", "UPDATE", "DELETE")},
}  # fmt: skip
# Rows exist in these once `filled` is there.
FILLED = {
    "agent", "attempt", "command_dedupe", "deployment", "event", "late_fact", "log_chunk", "payload", "pool", "run", "run_tag",
    "segment_index", "session", "slot", "timer", "workspace", "workspace_head",
}  # fmt: skip


@pytest.fixture
async def filled(database):
    """Two workspaces with rows in every table of the log and of decisions; returns their numbers."""
    from headway_control_plane.application.ports import Dedupe
    from headway_control_plane.domain.commands import LoseAttempt

    async with open_log(database.url) as log:
        fleets = [await new_fleet(log) for _ in range(2)]
        for fleet in fleets:
            run = await fleet.granted_run()
            await fleet.report(run, 1, 1, [started(), *calls(1, 1)])
            await log.append_lines(fleet.ws, run, 1, 1, 1, b"line")
            await fleet.execute(LoseAttempt(run, 1))
            await fleet.grant(run)
            await fleet.report(run, 1, 3, [exited()])
            new = fleet.create_command(fleet.new_id())
            await fleet.execute(new, dedupe=Dedupe("key", b"", {}))
    return [fleet.ws for fleet in fleets]


def tables_with_a_workspace(database) -> set[str]:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'ws' "
            "WHERE c.relnamespace = 'headway'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        ).fetchall()
    return {name for (name,) in rows}


def workspaces_seen(connection, table) -> set[int] | str:
    """The workspaces of the visible rows, or why there are none."""
    try:
        return {ws for (ws,) in connection.execute(f"SELECT DISTINCT ws FROM {table}")}
    except psycopg.errors.InsufficientPrivilege:
        return "denied"
    except psycopg.DatabaseError:
        return "error"


def test_this_table_knows_every_table(database):
    assert tables_with_a_workspace(database) == EVERYTHING


def test_every_table_forces_its_policies(database):
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'headway'::regnamespace "
            "AND relrowsecurity AND relforcerowsecurity AND NOT relispartition"
        ).fetchall()
    assert {name for (name,) in rows} == EVERYTHING


def test_no_role_can_log_in_or_bypass_policies(database):
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'headway\\_%' AND (rolcanlogin OR rolbypassrls OR rolsuper)"
        ).fetchall()
    assert rows == []


@pytest.mark.parametrize("role", READS)
def test_a_role_reads_what_it_may_and_nothing_else(database, role):
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT t, has_table_privilege(%(role)s, 'headway.' || t, 'SELECT'), "
            "has_any_column_privilege(%(role)s, 'headway.' || t, 'SELECT') FROM unnest(%(tables)s::text[]) t",
            {"role": role.value, "tables": sorted(EVERYTHING)},
        ).fetchall()
    assert {table for table, whole, _ in rows if whole} == READS[role][1]
    partly = {table for table, whole, part in rows if part and not whole}
    assert partly == READS_PARTLY.get(role, set())


@pytest.mark.parametrize("role", READS)
async def test_without_a_workspace_a_role_sees_nothing(database, filled, role):
    """Rows of no tenant, or an error; never all rows, but for the two roles that work across workspaces."""
    scope, reads = READS[role]
    with database.connect(role=role.value) as connection:
        for table in EVERYTHING:
            seen = workspaces_seen(connection, table)
            if scope == "all" and table in reads | READS_PARTLY.get(role, set()):
                assert seen == (set(filled) if table in FILLED else set()), table
            else:
                assert seen in ("denied", "error", set()), table


@pytest.mark.parametrize("role", [role for role in READS if READS[role][0] in {"one", "named"}])
async def test_with_a_workspace_a_role_sees_that_one(database, filled, role):
    _, reads = READS[role]
    setting = ("app.ws", "{}") if READS[role][0] == "one" else ("app.workspaces", "{{{}}}")
    with database.connect(role=role.value) as connection:
        for ws in filled:
            connection.execute(
                "SELECT set_config(%s, %s, false)", [setting[0], setting[1].format(ws)]
            )
            for table in reads:
                assert workspaces_seen(connection, table) == ({ws} if table in FILLED else set())


async def test_the_committer_reads_no_content(database, filled):
    """It may know that content is there, by digest, and where the log ends, by hash; what was written stays unread."""
    with database.connect(role=Role.COMMITTER.value) as connection:
        connection.execute("SELECT set_config('app.workspaces', %s, false)", [f"{{{filled[0]}}}"])
        assert connection.execute("SELECT count(digest) FROM payload").fetchone() > (0,)
        for column, table in (("bytes", "payload"), ("payload", "event"), ("bytes", "log_chunk")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {column} FROM {table}")


async def test_the_dispatcher_reads_no_words_of_users(database, filled):
    with database.connect(role=Role.DISPATCHER.value) as connection:
        assert connection.execute("SELECT count(run) FROM run").fetchone() == (4,)
        for column in ("name", "tags", "parameters", "error_class", "entrypoint"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {column} FROM run")


@pytest.mark.parametrize("role", WRITES)
def test_a_role_writes_what_it_may_and_nothing_else(database, role):
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT t, v FROM unnest(%s::text[]) t, unnest(%s::text[]) v WHERE has_table_privilege(%s, 'headway.' || t, v)",
            [sorted(EVERYTHING), ["INSERT", "UPDATE", "DELETE", "TRUNCATE"], role.value],
        ).fetchall()
    expected = WRITES[role] | (
        {("event", "TRUNCATE"), ("log_chunk", "TRUNCATE")} if role is Role.MAINTENANCE else set()
    )
    assert set(rows) == expected


async def test_nobody_rewrites_the_log(database, filled):
    """Not even the owner of its partitions: forced policies give maintenance no row."""
    for role in READS:
        with database.connect(role=role.value) as connection:
            connection.execute("SELECT set_config('app.ws', %s, false)", [str(filled[0])])
            connection.execute(
                "SELECT set_config('app.workspaces', %s, false)", [f"{{{filled[0]}}}"]
            )
            try:
                done = connection.execute("UPDATE event SET actor = 'x'").rowcount
            except psycopg.errors.InsufficientPrivilege:
                done = 0
            assert done == 0, role


async def test_the_committer_writes_into_named_workspaces_alone(database, filled):
    first, second = filled
    with database.connect(role=Role.COMMITTER.value) as connection:
        connection.execute("SELECT set_config('app.workspaces', %s, false)", [f"{{{first}}}"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO payload (ws, digest, bytes) VALUES (%s, 'd', 'b')", [second]
            )
        moved = connection.execute("UPDATE run SET status = 'paused' WHERE ws = %s", [second])
        assert moved.rowcount == 0
