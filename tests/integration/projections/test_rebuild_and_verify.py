"""Views can be dropped and made anew from the log, and proved against it."""

import pytest
from click.testing import CliRunner

from headway_control_plane.application.ports import Fact
from headway_control_plane.db.roles import Role
from headway_control_plane.log.reader import Reader
from headway_control_plane.main.verbs.projections import projections_group
from headway_control_plane.projections import shadow, tasks
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.read_model import BrokenEvent
from headway_control_plane.projections.rebuild import RebuildFailed, rebuild
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import verify
from support.log_fixtures import NOW_US, calls, new_fleet, started

pytestmark = pytest.mark.postgres


@pytest.fixture
async def shown(log, fleet):
    """A workspace whose views show its log."""
    fleet.run = await fleet.granted_run()
    await fleet.report(fleet.run, 1, 1, [started(), *calls(1, 50)])
    reader = Reader(log.database, role=Role.PROJECTOR)
    engine = ProjectionEngine(log.database, reader, [TaskTimeline()])
    await engine.prepare()
    engine.mark(fleet.ws)
    await engine.catch_up()
    fleet.reader, fleet.engine = reader, engine
    return fleet


def spoil(database, statement: str) -> None:
    with database.connect() as connection:
        connection.execute(statement)


def versions(database) -> list[int]:
    with database.connect() as connection:
        rows = connection.execute("SELECT DISTINCT version FROM task_timeline ORDER BY 1")
        return [version for (version,) in rows]


async def test_an_honest_view_is_proved_from_the_first_event(log, shown, database):
    proof = await verify(log.database, shown.reader, TaskTimeline(), shown.ws, batch=7)
    assert proof.holds
    assert (proof.proved_from, proof.comparison.rows) == (1, 50)
    assert proof.checkpoint == (await shown.engine.freshness(shown.ws, "task_timeline")).head
    assert versions(database) == [1], "nothing of the proof stays"


async def test_what_a_newer_agent_said_is_passed_over_by_the_view_and_by_its_proof(log, shown):
    newer = [Fact("CallDreamt", 1, NOW_US, b"\xff"), Fact("CallEnded", 2, NOW_US, b"\xff")]
    await shown.report(shown.run, 1, 52, newer)
    shown.engine.mark(shown.ws)
    await shown.engine.catch_up()
    proof = await verify(log.database, shown.reader, TaskTimeline(), shown.ws, batch=7)
    assert proof.holds
    assert (proof.unknown_events, proof.unknown_in_replay) == (1, 1)  # of types


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE task_timeline SET status = 'failed' WHERE call = (SELECT min(call) FROM task_timeline)", "not shown as the log tells it"),
        ("DELETE FROM task_timeline WHERE call = (SELECT min(call) FROM task_timeline)", "not shown, but the log tells of it"),
        ("INSERT INTO task_timeline SELECT ws, version, run, fence, '\\xff'::bytea, parent, kind, name, status, first_offset, started_at, ended_at, tries, retries, error_class, error_text, result FROM task_timeline LIMIT 1", "the log does not tell of it"),
        ("UPDATE task_counts SET completed = completed + 1", "its sums are not those of its rows"),
    ],
)  # fmt: skip
async def test_a_view_that_lies_is_caught(log, shown, database, statement, words):
    spoil(database, statement)
    proof = await verify(log.database, shown.reader, TaskTimeline(), shown.ws)
    assert not proof.holds
    assert any(words in str(difference) for difference in proof.comparison.differences)


async def test_what_left_the_log_is_not_proved(log, shown, database):
    spoil(database, "UPDATE segment_index SET first_offset = 20")
    proof = await verify(log.database, shown.reader, TaskTimeline(), shown.ws)
    assert proof.proved_from == 20
    assert 0 < proof.comparison.rows < 50


async def test_a_rebuild_mends_and_takes_the_old_rows_away(log, shown, database):
    other = await new_fleet(log)
    spoil(database, "UPDATE task_timeline SET status = 'failed'")
    told = []
    done = await rebuild(log.database, shown.reader, TaskTimeline(), progress=told.append, batch=9)

    assert (done.before, done.after) == (1, 2)
    assert done.compared[shown.ws].differences
    assert not done.compared[other.ws].differences
    assert versions(database) == [2]
    assert any("version 2 is read" in line for line in told)
    async with log.database.transaction(Role.APP, ws=shown.ws) as connection:
        sums = await tasks.counts(connection, shown.ws, [shown.run])
    assert sums[shown.run].completed == 50

    await shown.report(shown.run, 1, 52, calls(100, 5))
    shown.engine.mark(shown.ws)
    await shown.engine.catch_up()
    assert (await verify(log.database, shown.reader, TaskTimeline(), shown.ws)).holds


async def test_a_rebuild_that_fails_leaves_the_live_version(log, shown, database):
    class Broken(TaskTimeline):
        async def apply(self, connection, ws, version, events):
            for event in events:
                if event.cursor.offset > 30:
                    raise BrokenEvent(event, ValueError("no"))
            await super().apply(connection, ws, version, events)

    with pytest.raises(RebuildFailed, match="live version was left"):
        await rebuild(log.database, shown.reader, Broken(), progress=lambda _: None)
    assert versions(database) == [1]
    assert await shadow.active_version(log.database, TaskTimeline()) == 1


async def test_a_killed_rebuild_is_swept_up_by_the_next(log, shown, database):
    model = TaskTimeline()
    await shadow.catch_up(log.database, shown.reader, model, shown.ws, 2)
    done = await rebuild(log.database, shown.reader, model, progress=lambda _: None)
    assert done.after == 3
    assert versions(database) == [3]


async def test_the_verbs(log, shown, database):
    import asyncio

    def run(*arguments: str):
        return CliRunner().invoke(projections_group, [*arguments, "--database-url", database.url])

    proved = await asyncio.to_thread(run, "verify")
    assert proved.exit_code == 0, proved.output
    assert "holds, 50 rows proved from offset 1 to 1:" in proved.output
    spoil(database, "DELETE FROM task_timeline WHERE call = (SELECT min(call) FROM task_timeline)")
    caught = await asyncio.to_thread(run, "verify")
    assert caught.exit_code == 1
    assert "headway projections rebuild task_timeline" in caught.output
    mended = await asyncio.to_thread(run, "rebuild")
    assert mended.exit_code == 0, mended.output
    assert (await asyncio.to_thread(run, "verify")).exit_code == 0
