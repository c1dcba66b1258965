"""Numbers that an agent may send and no column can add up: they cost nobody but their own run, and not even that its page."""

import hashlib

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.log.output_facts import END_OF_TIME_US
from headway_control_plane.projections import metrics, tasks
from support.log_fixtures import fact, started
from support.output_facts import points, report
from support.task_rows import read, shown, task_engine

pytestmark = pytest.mark.postgres


@pytest.fixture
async def engine(log):
    return await task_engine(log)


async def test_calls_of_a_range_that_each_took_seven_thousand_years(engine, fleet):
    run = await fleet.granted_run()
    keys = [hashlib.sha256(bytes([n])).digest()[:16] for n in range(100)]
    ends = attempt_pb2.CallsEnded(
        calls=b"".join(keys), name="load", started_deltas_us=[0] * 100,
        durations_us=[END_OF_TIME_US] * 100, outcome=attempt_pb2.CALL_OUTCOME_COMPLETED,
    )  # fmt: skip
    assert (await report(fleet, run, 1, started(), fact(ends))).verdict == "ok"
    await shown(engine, fleet)
    [task] = (await read(fleet, tasks.page, run, 1)).items
    assert task.calls == 100
    assert (await read(fleet, tasks.groups, run, 1, now=task.ended_at)).total == 1


async def test_more_points_recorded_than_can_be_counted(engine, fleet):
    run = await fleet.granted_run()
    batches = [points("loss", [n], first=n, recorded=1 << 53) for n in range(1, 1_100)]
    assert (await report(fleet, run, 1, started(), *batches)).verdict == "ok"
    await shown(engine, fleet)
    [series] = await read(fleet, metrics.list_series, run)
    assert (series.recorded, series.kept) == ((1 << 63) - 1, 1_099)
