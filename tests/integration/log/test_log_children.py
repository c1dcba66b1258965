"""Runs that runs ask for, through the log: what a run waits for is found by its call, whatever its attempt names."""

import hashlib
from uuid import UUID

import pytest

from headway.runtime.child_results import child_id
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.commands import LoseAttempt
from headway_control_plane.domain.run.state import Fork
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.reader import Reader
from support.log_fixtures import NOW_US, exited, fact, started

pytestmark = pytest.mark.postgres

CALL = hashlib.sha256(b"call").digest()[:16]
SUSPENDED = attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED


def named(parent: UUID, at_us: int) -> UUID:
    return UUID(child_id(str(parent), CALL.hex(), at_us))


def asked(child: UUID):
    return fact(
        attempt_pb2.RunRequested(call=CALL, deployment="inventory", run=child.bytes, waited=True)
    )


def waiting_for(child: UUID):
    wait = attempt_pb2.Wait(call=CALL, kind="run", name="inventory", run=child.bytes)
    return exited(SUSPENDED, waits=[wait])


async def test_a_child_that_has_ended_answers_a_parent_that_another_agent_suspends(fleet, database):
    """That agent has no journal of the first attempt, and names the run by the time at which it came to the call."""
    run = await fleet.granted_run()
    first, later = named(run, NOW_US), named(run, NOW_US + 60_000_000)
    await fleet.report(run, 1, 1, [started(), asked(first)])
    await fleet.execute(fleet.create_command(first, parent_run=run, parent_call=CALL))
    await fleet.grant(first)
    await fleet.report(first, 1, 1, [started(), exited()])
    await fleet.execute(LoseAttempt(run, 1))
    await fleet.grant(run)
    await fleet.report(run, 2, 1, [started(), asked(later), waiting_for(later)])
    events = await Reader(fleet.log.database).read_stream(fleet.ws, Stream(StreamKind.RUN, run))
    assert [event.type for event in events][-2:] == ["RunSuspended", "RunAnswered"]
    with database.connect() as connection:
        [wanted] = connection.execute("SELECT run FROM child_run").fetchall()
        status = connection.execute("SELECT status FROM run WHERE run = %s", [run]).fetchone()
    assert (wanted, status) == ((first,), ("scheduled",))


async def test_an_answer_does_not_write_again_what_its_run_waits_for(fleet, database):
    """Of a run that waits for hundreds that is some ten thousand bytes, with each end of one."""
    run = await fleet.granted_run()
    calls = [hashlib.sha256(b"%d" % n).digest()[:16] for n in range(300)]
    children = [UUID(child_id(str(run), call.hex(), NOW_US)) for call in calls]
    requests = [
        fact(attempt_pb2.RunRequested(call=call, deployment="d", run=child.bytes, waited=True))
        for call, child in zip(calls, children, strict=True)
    ]
    waits = [
        attempt_pb2.Wait(call=call, kind="run", name="d", run=child.bytes)
        for call, child in zip(calls, children, strict=True)
    ]
    await fleet.report(run, 1, 1, [started(), *requests, exited(SUSPENDED, waits=waits)])

    def row():
        with database.connect() as connection:
            return connection.execute(
                "SELECT pg_column_toast_chunk_id(waits), waits FROM run WHERE run = %s",
                [run],
            ).fetchone()

    chunk, waited = row()
    assert chunk is not None
    for child, call in zip(children[:2], calls, strict=False):
        await fleet.execute(fleet.create_command(child, parent_run=run, parent_call=call))
        await fleet.grant(child)
        await fleet.report(child, 1, 1, [started(), exited()])
    assert row() == (chunk, waited)


async def forked(fleet, origin: UUID, verb: str = "resume") -> UUID:
    """A run made from one that has ended, granted."""
    await fleet.report(origin, 1, 3, [exited()])
    made = fleet.new_id()
    cut = Fork(verb, b"", (), None)
    await fleet.execute(fleet.create_command(made, forked_from=origin, fork=cut))
    await fleet.grant(made)
    return made


async def types_of(fleet, run: UUID) -> list[str]:
    events = await Reader(fleet.log.database).read_stream(fleet.ws, Stream(StreamKind.RUN, run))
    return [event.type for event in events]


async def asks_and_fails(fleet) -> tuple[UUID, UUID]:
    """A run whose attempt asked for a child, which is there, and did not wait for it."""
    run = await fleet.granted_run()
    child = named(run, NOW_US)
    await fleet.report(run, 1, 1, [started(), asked(child)])
    await fleet.execute(fleet.create_command(child, parent_run=run, parent_call=CALL))
    await fleet.grant(child)
    return run, child


async def test_the_end_of_a_child_answers_a_run_that_was_made_from_its_parent(fleet):
    run, child = await asks_and_fails(fleet)
    made = await forked(fleet, run)
    await fleet.report(made, 1, 1, [started(), asked(child), waiting_for(child)])
    assert (await types_of(fleet, made))[-1] == "RunSuspended"
    await fleet.report(child, 1, 1, [started(), exited()])
    assert (await types_of(fleet, made))[-1] == "RunAnswered"


async def test_a_child_that_has_ended_answers_in_the_flush_in_which_it_is_taken(fleet):
    run, child = await asks_and_fails(fleet)
    await fleet.report(child, 1, 1, [started(), exited()])
    made = await forked(fleet, run)
    await fleet.report(made, 1, 1, [started(), asked(child), waiting_for(child)])
    assert (await types_of(fleet, made))[-2:] == ["RunSuspended", "RunAnswered"]


async def test_two_runs_that_take_one_child_are_both_answered(fleet):
    run, child = await asks_and_fails(fleet)
    first = await forked(fleet, run)
    second = fleet.new_id()
    await fleet.execute(
        fleet.create_command(second, forked_from=run, fork=Fork("resume", b"", (), None))
    )
    await fleet.grant(second)
    for made in (first, second):
        await fleet.report(made, 1, 1, [started(), asked(child), waiting_for(child)])
    await fleet.report(child, 1, 1, [started(), exited()])
    for made in (first, second):
        assert (await types_of(fleet, made))[-1] == "RunAnswered"


async def test_nobody_hears_of_a_run_of_another_line(fleet):
    _, child = await asks_and_fails(fleet)
    await fleet.report(child, 1, 1, [started(), exited()])
    stranger = await fleet.granted_run()
    await fleet.report(stranger, 1, 1, [started(), asked(child), waiting_for(child)])
    assert (await types_of(fleet, stranger))[-1] == "RunSuspended"
