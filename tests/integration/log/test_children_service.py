"""The service of wanted runs, over a real log: no workspace holds up the wishes of another."""

import hashlib
from uuid import UUID

import pytest

from headway.runtime.child_results import child_id
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.background import children
from headway_control_plane.background.children import Children
from headway_control_plane.clock import SystemClock
from headway_control_plane.domain.commands import LoseAttempt
from headway_control_plane.log.founding import SHARDS
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
from support.log_fixtures import NOW_US, exited, fact, new_fleet, started

pytestmark = pytest.mark.postgres


class AllShards:
    def held(self):
        return dict.fromkeys(range(SHARDS), 1)


@pytest.fixture
def service(log, monkeypatch) -> Children:
    monkeypatch.setattr(children, "MOST", 4)
    catalogue = RowCatalogue(Reads(log.database))
    return Children(log.database, log, catalogue, AllShards(), SystemClock())


def wish(parent: UUID, number: int, deployment: str = "inventory", *, waited: bool = True):
    call = hashlib.sha256(number.to_bytes(4)).digest()[:16]
    run = UUID(child_id(str(parent), call.hex(), NOW_US))
    asked = attempt_pb2.RunRequested(call=call, deployment=deployment, run=run.bytes, waited=waited)
    return run, fact(asked)


async def parent_of(fleet, *wishes, sleeps: bool) -> UUID:
    """A run that has asked for these, and goes on or sleeps."""
    run = await fleet.granted_run()
    told = [started(), *(each(run) for each in wishes)]
    if sleeps:
        wait = attempt_pb2.Wait(call=b"s" * 16, kind="sleep", until_us=2 * NOW_US)
        told.append(exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait]))
    assert (await fleet.report(run, 1, 1, told)).verdict == "ok"
    return run


def made(database) -> set[UUID]:
    with database.connect() as connection:
        rows = connection.execute("SELECT run FROM run WHERE parent_run IS NOT NULL")
        return {run for (run,) in rows}


async def test_refusals_that_nobody_listens_to_yet_hold_up_no_wish(log, fleet, service, database):
    missing = [lambda run, n=n: wish(run, n, "no such one")[1] for n in range(6)]
    await parent_of(fleet, *missing, sleeps=True)
    for _ in range(3):  # all six are refused, and the parent waits for something else
        await service.run_once()
    other = await new_fleet(log)
    parent = await parent_of(other, lambda run: wish(run, 1)[1], sleeps=False)
    assert await service.run_once() is False  # nor does it look again without a pause
    assert made(database) == {wish(parent, 1)[0]}


async def test_a_refusal_is_told_once_its_parent_listens(fleet, service, database):
    """However many others there are that nobody listens to, and wherever the last look ended."""
    missing = [lambda run, n=n: wish(run, n, "no such one")[1] for n in range(10)]
    await parent_of(fleet, *missing, sleeps=True)
    run = await fleet.granted_run()
    # One alone: with its answer the run goes on, and listens to no other.
    asked = [wish(run, 1, "no such one")]
    await fleet.report(run, 1, 1, [started(), *(told for _, told in asked)])
    for _ in range(5):
        await service.run_once()
    waits = [
        attempt_pb2.Wait(
            call=attempt_pb2.RunRequested.FromString(told.payload).call, kind="run", run=child.bytes
        )
        for child, told in asked
    ]
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=waits)
    await fleet.report(run, 1, 3, [end])
    for _ in range(5):
        await service.run_once()
    with database.connect() as connection:
        query = "SELECT refused, settled FROM child_run WHERE parent = %s"
        rows = connection.execute(query, [run]).fetchall()
    assert rows == [("not_found", True)]


async def test_who_asks_for_much_leaves_the_others_their_turn(log, fleet, service, database):
    many = [lambda run, n=n: wish(run, n)[1] for n in range(20)]
    await parent_of(fleet, *many, sleeps=False)
    other = await new_fleet(log)
    parent = await parent_of(other, lambda run: wish(run, 1)[1], sleeps=False)
    assert await service.run_once() is True
    assert wish(parent, 1)[0] in made(database)


async def test_a_workspace_whose_wishes_cannot_be_read_is_set_aside_alone(
    log, fleet, service, database, monkeypatch
):
    await parent_of(fleet, lambda run: wish(run, 1)[1], sleeps=False)
    other = await new_fleet(log)
    parent = await parent_of(other, lambda run: wish(run, 1)[1], sleeps=False)
    read = service._wanted

    async def broken(ws, calls):
        if ws == fleet.ws:
            raise ValueError("a row that nobody can read")
        return await read(ws, calls)

    monkeypatch.setattr(service, "_wanted", broken)
    await service.run_once()
    assert made(database) == {wish(parent, 1)[0]}
    assert len(service.quarantine) == 1


async def test_who_asks_again_on_another_agent_is_refused_again(fleet, service, database):
    """Its first attempt was told, and is lost with its journal: the second one waits for the same call."""
    run = await fleet.granted_run()
    child, told = wish(run, 1, "no such one")
    call = attempt_pb2.RunRequested.FromString(told.payload).call
    wait = attempt_pb2.Wait(call=call, kind="run", run=child.bytes)
    other = attempt_pb2.Wait(call=b"s" * 16, kind="sleep", until_us=NOW_US)
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
    await fleet.report(run, 1, 1, [started(), told, end])
    await service.run_once()
    await fleet.grant(run)  # goes on with the answer, and from then on waits for something else
    slept = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[other])
    await fleet.report(run, 2, 1, [started(), slept])
    await fleet.grant(run)
    await fleet.execute(LoseAttempt(run, 3))
    await fleet.grant(run)
    await fleet.report(run, 4, 1, [started(), told, end])
    assert _row(database, run) == ("paused", [])
    await service.run_once()
    assert _row(database, run) == ("scheduled", [call])


async def test_who_asks_again_before_its_refusal_is_written_down_is_refused_again(
    fleet, service, database, monkeypatch
):
    """The service stalls between the answer and its row; the run is granted meanwhile, loses its journal, and waits for the same call."""
    run = await fleet.granted_run()
    child, told = wish(run, 1, "no such one")
    call = attempt_pb2.RunRequested.FromString(told.payload).call
    wait = attempt_pb2.Wait(call=call, kind="run", run=child.bytes)
    other = attempt_pb2.Wait(call=b"s" * 16, kind="sleep", until_us=NOW_US)
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
    slept = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[other])
    settle = service._settle

    async def settle_late(settled):
        await fleet.grant(run)
        await fleet.report(run, 2, 1, [started(), slept])
        await fleet.grant(run)
        await fleet.report(run, 3, 1, [started(), told, end])
        await settle(settled)

    await fleet.report(run, 1, 1, [started(), told, end])
    with monkeypatch.context() as stalled:
        stalled.setattr(service, "_settle", settle_late)
        await service.run_once()
    assert _row(database, run) == ("paused", [])
    await service.run_once()
    assert _row(database, run) == ("scheduled", [call])


def _row(database, run):
    with database.connect() as connection:
        (status,) = connection.execute("SELECT status FROM run WHERE run = %s", [run]).fetchone()
        found = connection.execute("SELECT call FROM run_answer WHERE run = %s", [run]).fetchall()
    return status, [call for (call,) in found]
