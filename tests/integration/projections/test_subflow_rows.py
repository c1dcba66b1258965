"""Sub-flows over a real log: each a row as the run's newest attempt has it, found beside the runs in one order."""

import hashlib
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections import calls
from headway_control_plane.projections.call_view import find_subflow
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.reading import Reads
from headway_control_plane.projections.run_filters import RunFilter
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.runs import get_run
from headway_control_plane.projections.subflow_fold import LISTED_PER_RUN
from headway_control_plane.projections.subflows import (
    SubflowView,
    count_both,
    list_runs_and_subflows,
)
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import verify
from support.log_fixtures import NOW_US, exited, fact, started

pytestmark = pytest.mark.postgres


@pytest.fixture
async def engine(log):
    return await prepared(log)


async def prepared(log, batch: int = 1000) -> ProjectionEngine:
    reader = Reader(log.database, role=Role.PROJECTOR)
    made = ProjectionEngine(log.database, reader, [TaskTimeline()], batch=batch)
    await made.prepare()
    return made


async def shown(engine, fleet) -> None:
    engine.mark(fleet.ws)
    await engine.catch_up()


def key_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:16]


def began(name: str, parent: str = "", kind: int = facts.CALL_KIND_FLOW):
    above = key_of(parent) if parent else b""
    return fact(facts.CallStarted(call=key_of(name), parent=above, name=name, kind=kind))


def ended(name: str, parent: str = "", kind: int = facts.CALL_KIND_FLOW, outcome: int = 1, **rest):
    above = key_of(parent) if parent else b""
    return fact(
        facts.CallEnded(
            call=key_of(name), parent=above, name=name, kind=kind, outcome=outcome,
            started_at_us=NOW_US, tries=1, **rest,
        )
    )  # fmt: skip


async def listed(log, fleet, limit: int = 50, cursor: str | None = None, **wanted):
    async with Reads(log.database).workspace(fleet.ws) as connection:
        return await list_runs_and_subflows(
            connection, fleet.ws, RunFilter(**wanted),
            now=SystemClock().now(), cursor=cursor, limit=limit,
        )  # fmt: skip


def place(item: RunView | SubflowView) -> UUID:
    return item.place if isinstance(item, SubflowView) else item.id


async def states(log, fleet) -> dict[str, str]:
    page = await listed(log, fleet)
    return {each.name: each.status for each in page.items if isinstance(each, SubflowView)}


async def test_a_subflow_follows_its_attempts(engine, log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), ended("done"), began("crashes")])
    await shown(engine, fleet)
    assert await states(log, fleet) == {"done": "completed", "crashes": "running"}

    crash = exited(facts.ATTEMPT_OUTCOME_CRASHED, cause="signal", signal=9)
    await fleet.report(run, 1, 4, [crash])
    await shown(engine, fleet)
    assert await states(log, fleet) == {"done": "completed", "crashes": "interrupted"}

    await fleet.grant(run)
    kept = ended("done", outcome=facts.CALL_OUTCOME_SKIPPED)
    await fleet.report(run, 2, 1, [started(), kept, began("crashes")])
    await shown(engine, fleet)
    assert await states(log, fleet) == {"done": "skipped", "crashes": "running"}


async def test_a_subflow_waits_with_its_run_and_is_cancelled_with_it(engine, log, fleet):
    run = await fleet.granted_run()
    wait = facts.Wait(call=key_of("ask"), kind="input", name="ask", until_us=0, since_us=NOW_US)
    asleep = exited(facts.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
    await fleet.report(run, 1, 1, [started(), began("approve"), asleep])
    await shown(engine, fleet)
    assert await states(log, fleet) == {"approve": "paused"}
    assert await of_page(log, fleet, run, "approve") == "paused"

    await fleet.execute(CancelRun(run, ""))
    await shown(engine, fleet)
    assert await states(log, fleet) == {"approve": "cancelled"}
    assert await of_page(log, fleet, run, "approve") == "cancelled"


async def of_page(log, fleet, run: UUID, name: str) -> str:
    async with Reads(log.database).workspace(fleet.ws) as connection:
        view = await get_run(connection, fleet.ws, run, now=SystemClock().now())
        found = await find_subflow(connection, fleet.ws, view, key_of(name).hex()[:10])
    return found.task.status


async def test_one_batch_or_many_tell_the_same(log, fleet, database):
    run = await fleet.granted_run()
    story = [started(), began("a"), began("b", "a"), ended("b", "a"), ended("a"), began("c")]
    await fleet.report(run, 1, 1, [*story, exited(facts.ATTEMPT_OUTCOME_CRASHED)])
    tables = []
    for batch in (1, 1000):
        with database.connect() as connection:
            connection.execute("DELETE FROM projection_checkpoint; DELETE FROM task_timeline")
            connection.execute("DELETE FROM task_counts; DELETE FROM subflow")
        await shown(await prepared(log, batch), fleet)
        with database.connect() as connection:
            tables.append(connection.execute("SELECT * FROM subflow ORDER BY call").fetchall())
    assert len(tables[0]) == 3
    assert tables[0] == tables[1]


async def test_very_many_subflows_take_a_bounded_part_of_the_list(engine, log, fleet):
    run = await fleet.granted_run()
    story = [ended(f"part {n}") for n in range(900)]
    await fleet.report(run, 1, 1, [started(), *story])
    await shown(engine, fleet)
    seen: list = []
    cursor = None
    while True:
        page = await listed(log, fleet, limit=30, cursor=cursor)
        seen.extend(page.items)
        cursor = page.next
        if cursor is None:
            break
    subflows = [each for each in seen if isinstance(each, SubflowView)]
    assert len(subflows) == len({each.call for each in subflows}) == LISTED_PER_RUN
    assert [each.id for each in seen if isinstance(each, RunView)] == [run]
    async with Reads(log.database).workspace(fleet.ws) as connection:
        counted = await count_both(connection, fleet.ws, RunFilter())
        sums, capped = await calls.count_flows(connection, fleet.ws, run, 1)
    assert counted.counts[RunStatus.COMPLETED] == LISTED_PER_RUN
    assert (sums.total, capped) == (900, False)


async def test_filters_and_pages_in_both_directions(engine, log, fleet):
    for n in range(4):
        run = await fleet.granted_run()
        odd = facts.CALL_OUTCOME_FAILED if n % 2 else facts.CALL_OUTCOME_COMPLETED
        error = facts.Error(error_class="ValueError") if n % 2 else None
        await fleet.report(
            run, 1, 1, [started(), ended(f"load {n}", outcome=odd, error=error), began("clean")]
        )
    await shown(engine, fleet)
    everything = (await listed(log, fleet)).items
    assert len(everything) == 12

    pages, cursor = [], None
    while not pages or cursor:
        pages.append(await listed(log, fleet, limit=5, cursor=cursor))
        cursor = pages[-1].next
    assert [place(each) for page in pages for each in page.items] == list(map(place, everything))
    back = await listed(log, fleet, limit=5, cursor=pages[-1].previous)
    assert list(map(place, back.items)) == list(map(place, pages[-2].items))

    failed = await listed(log, fleet, states=(RunStatus.FAILED,))
    assert sorted(each.name for each in failed.items) == ["load 1", "load 3"]
    by_name = await listed(log, fleet, flow="clean")
    assert {each.status for each in by_name.items} == {"running"}
    assert len(by_name.items) == 4
    by_text = await listed(log, fleet, text="load 2")
    assert [each.name for each in by_text.items] == ["load 2"]
    of_deployment = await listed(log, fleet, deployment=fleet.deployment, tags=("x",))
    assert len(of_deployment.items) == 12
    assert (await listed(log, fleet, until=None, since=SystemClock().now())).items == []


async def test_what_lies_within_a_call_is_found_however_deep(engine, log, fleet):
    run = await fleet.granted_run()
    task = facts.CALL_KIND_TASK
    story = [
        ended("inner task", "inner", task), ended("inner", "outer"), ended("outer"),
        ended("direct", "outer", task), ended("elsewhere", kind=task),
        ended("snake", "tail", task), ended("tail", "snake", task),
    ]  # fmt: skip
    await fleet.report(run, 1, 1, [started(), *story])
    await shown(engine, fleet)
    async with Reads(log.database).workspace(fleet.ws) as connection:
        inside = await calls.within(connection, fleet.ws, run, 1, key_of("outer"))
        first = await calls.within(connection, fleet.ws, run, 1, key_of("outer"), limit=1)
        rest = await calls.within(connection, fleet.ws, run, 1, key_of("outer"), after=first.next)
        looked = await calls.look_within(connection, fleet.ws, run, 1, key_of("outer"))
        circle = await calls.within(connection, fleet.ws, run, 1, key_of("snake"))
        with pytest.raises(ValueError, match="xyz"):
            await calls.find_call(connection, fleet.ws, run, 1, "xyz")
    assert [each.name for each in inside.items] == ["inner task", "inner", "direct"]
    assert [*first.items, *rest.items] == list(inside.items)
    assert looked.counts.completed == 3
    assert looked.keys == {each.call for each in inside.items}
    assert [each.name for each in circle.items] == ["tail"]


async def test_the_rows_are_proved_with_the_view_that_they_are_part_of(
    engine, log, fleet, database
):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), ended("a"), began("b"), exited()])
    await shown(engine, fleet)
    reader = Reader(log.database, role=Role.PROJECTOR)
    assert (await verify(log.database, reader, TaskTimeline(), fleet.ws)).holds
    with database.connect() as connection:
        connection.execute("UPDATE subflow SET status = 'running' WHERE name = 'b'")
    proof = await verify(log.database, reader, TaskTimeline(), fleet.ws)
    assert [(each.call, each.what) for each in proof.comparison.differences] == [
        (key_of("b"), "not shown as the log tells it")
    ]
