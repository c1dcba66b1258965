"""Artifacts and metrics from facts to rows, over a real log."""

import pytest

from headway_control_plane.db.roles import Role
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections import artifacts, metrics
from headway_control_plane.projections.rebuild import rebuild
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import verify
from support.log_fixtures import started
from support.output_facts import artifact, points, progress, report
from support.task_rows import read, shown, task_engine

pytestmark = pytest.mark.postgres


@pytest.fixture
async def engine(log):
    return await task_engine(log)


async def test_each_save_under_a_key_is_a_new_version(engine, fleet):
    first, second = await fleet.granted_run(), await fleet.granted_run()
    await report(fleet, first, 1, started(), artifact(content=b"one"), artifact(content=b"two"))
    await shown(engine, fleet)
    await report(fleet, second, 1, started(), artifact(content=b"two", number=1), artifact(key=""))
    await shown(engine, fleet)

    [newest] = await read(fleet, artifacts.latest)
    assert (newest.key, newest.number, newest.run) == ("report", 3, second)
    told = await read(fleet, artifacts.history, "report")
    assert [(view.number, view.latest) for view in told] == [(3, True), (2, False), (1, False)]
    assert [view.key for view in await read(fleet, artifacts.of_run, second)] == ["report", ""]


async def test_the_same_content_again_by_the_same_run_is_no_new_version(engine, fleet):
    run = await fleet.granted_run()
    await report(fleet, run, 1, started(), artifact(), artifact(), artifact(number=1))
    await shown(engine, fleet)
    assert [view.number for view in await read(fleet, artifacts.history, "report")] == [1]


async def test_a_progress_moves_in_place(engine, fleet):
    run = await fleet.granted_run()
    await report(fleet, run, 1, started(), progress(0, key="load"), progress(10, key="load"))
    await shown(engine, fleet)
    await report(fleet, run, 4, progress(70, key="load"), progress(60, key="load"))
    await shown(engine, fleet)
    [view] = await read(fleet, artifacts.of_run, run)
    assert (view.percent, view.number, view.withheld) == (60, 1, False)


async def test_what_was_withheld_says_so(engine, fleet):
    run = await fleet.granted_run()
    await report(fleet, run, 1, started(), artifact(withheld=True), progress(5, withheld=True))
    await shown(engine, fleet)
    assert [view.withheld for view in await read(fleet, artifacts.of_run, run)] == [True, True]


async def test_points_of_a_later_try_take_the_place_of_the_earlier_ones(engine, fleet):
    run = await fleet.granted_run()
    await report(
        fleet, run, 1, started(), points("loss", [3, 2]), points("loss", [1], first=2, recorded=5)
    )
    await shown(engine, fleet)
    [series] = await read(fleet, metrics.list_series, run)
    assert (series.recorded, series.kept, series.lowest, series.newest) == (7, 3, 1, 1)
    await report(fleet, run, 4, points("loss", [9, 8]))
    await shown(engine, fleet)
    [series] = await read(fleet, metrics.list_series, run)
    assert [p.value for p in await read(fleet, metrics.points, run, series, 100)] == [9, 8]


async def test_many_points_are_thinned_out_to_their_extremes(engine, fleet):
    run = await fleet.granted_run()
    await report(fleet, run, 1, started())
    for n in range(30):
        values = [n * 100 + k for k in range(100)]
        values[50] = -1 if n == 3 else 1e9 if n == 20 else values[50]
        steps = range(n * 100, n * 100 + 100)
        await report(fleet, run, n + 2, points("rows", values, first=n * 100, steps=steps))
    await shown(engine, fleet)
    [series] = await read(fleet, metrics.list_series, run)
    for batches in (series.batches, 10_000):
        asked = metrics.Series(series.id, "rows", "", batches, 3000, 3000, 0, 0, 0, stepped=True)
        found = await read(fleet, metrics.points, run, asked, 20)
        assert len(found) <= 20
        assert {-1, 1e9} <= {point.value for point in found}
        assert [point.step for point in found] == sorted(point.step for point in found)


async def test_a_rebuild_makes_the_same_rows(engine, fleet, log):
    run = await fleet.granted_run()
    await report(
        fleet, run, 1, started(), artifact(content=b"a"), points("x", [1, 2]), progress(1),
        artifact(content=b"b"), points("x", [3], first=2), progress(9), points("x", [4]),
    )  # fmt: skip
    await shown(engine, fleet)
    reader = Reader(log.database, role=Role.PROJECTOR)
    assert (await verify(log.database, reader, TaskTimeline(), fleet.ws, batch=2)).holds
    done = await rebuild(log.database, reader, TaskTimeline(), progress=lambda _: None, batch=2)
    assert not done.compared[fleet.ws].differences
    assert len(await read(fleet, artifacts.of_run, run)) == 3
    async with log.database.transaction(Role.PROJECTOR, workspaces=[fleet.ws]) as connection:
        await connection.execute("UPDATE artifact SET percent = 50 WHERE kind = 'progress'")
    proof = await verify(log.database, reader, TaskTimeline(), fleet.ws)
    assert [difference.what for difference in proof.comparison.differences]


@pytest.mark.parametrize(
    "bad",
    [
        artifact(key="k" * 101),
        points("x", [float("nan")]),
        points("x", [1.0], first=-1),
        points("x", [1.0, 2.0], recorded=1),
        points("x", [1.0], at_us=[-1]),
        progress(101),
    ],
)
async def test_what_cannot_be_stored_is_refused_alone(fleet, bad):
    run = await fleet.granted_run()
    verdict = await report(fleet, run, 1, started(), bad)
    assert (verdict.verdict, verdict.last_seq) == ("poison", 1)
