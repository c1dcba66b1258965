"""Events that runs emit, over a real log: they answer those who wait, in the flush that appends them, and once."""

import asyncio
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.emit_event import Event
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.reader import Reader
from support.log_fixtures import exited, new_fleet, started
from support.output_facts import emitted, report

pytestmark = pytest.mark.postgres

ARRIVED = Event("file arrived", "2026-11-22", {"rows": 7})


async def waiting(fleet, *events: Event) -> UUID:
    run = await fleet.granted_run()
    waits = [
        attempt_pb2.Wait(call=bytes([n]) * 16, kind="event", name=event.name, topic=event.topic)
        for n, event in enumerate(events, 1)
    ]
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=waits)
    assert (await report(fleet, run, 1, started(), end)).verdict == "ok"
    return run


async def answers(fleet, run: UUID):
    reader = Reader(fleet.log.database)
    events = await reader.read_stream(fleet.ws, Stream(StreamKind.RUN, run))
    return [event.decode() for event in events if event.type == "RunAnswered"]


async def test_it_answers_every_run_that_waits_for_it_and_no_other(fleet):
    other = Event(ARRIVED.name, "another key")
    first, second, third = (
        await waiting(fleet, ARRIVED),
        await waiting(fleet, other, ARRIVED),
        await waiting(fleet, other),
    )
    emitter = await fleet.granted_run()
    told = emitted(ARRIVED)
    await report(fleet, emitter, 1, started(), told)

    [answer] = await answers(fleet, first)
    assert answer.value.digest == told.blobs[0].digest
    assert [one.call for one in await answers(fleet, second)] == [b"\x02" * 16]
    assert await answers(fleet, third) == []
    reader = Reader(fleet.log.database)
    contents = await reader.blobs(fleet.ws, [answer.value.digest])
    assert contents[answer.value.digest] == b'{"rows": 7}'


async def test_sent_again_and_emitted_again_it_answers_once(fleet):
    run = await waiting(fleet, ARRIVED)
    emitter = await fleet.granted_run()
    await report(fleet, emitter, 1, started(), emitted(ARRIVED))
    await report(fleet, emitter, 1, started(), emitted(ARRIVED))
    await report(fleet, emitter, 3, emitted(ARRIVED, number=2))
    assert len(await answers(fleet, run)) == 1


async def test_a_wait_that_begins_and_an_event_in_one_flush(fleet):
    run, emitter = await fleet.granted_run(), await fleet.granted_run()
    wait = attempt_pb2.Wait(call=b"w" * 16, kind="event", name=ARRIVED.name, topic=ARRIVED.topic)
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
    await asyncio.gather(
        report(fleet, run, 1, started(), end),
        report(fleet, emitter, 1, started(), emitted(ARRIVED)),
    )
    assert len(await answers(fleet, run)) in (0, 1)  # whichever was first; never twice
    await report(fleet, emitter, 3, emitted(ARRIVED, number=1))
    assert len(await answers(fleet, run)) == 1


async def test_a_value_that_was_withheld_reaches_nobody(fleet):
    run = await waiting(fleet, ARRIVED)
    emitter = await fleet.granted_run()
    await report(fleet, emitter, 1, started(), emitted(ARRIVED, withheld=True))
    assert await answers(fleet, run) == []


async def test_without_a_value_it_answers_with_none(fleet):
    event = Event("ready")
    run = await waiting(fleet, event)
    emitter = await fleet.granted_run()
    await report(fleet, emitter, 1, started(), emitted(event, withheld=True))
    [answer] = await answers(fleet, run)
    contents = await Reader(fleet.log.database).blobs(fleet.ws, [answer.value.digest])
    assert contents[answer.value.digest] == b"null"


async def test_late_facts_of_a_replaced_attempt_answer_nobody(fleet):
    run = await waiting(fleet, ARRIVED)
    emitter = await fleet.granted_run()
    await report(fleet, emitter, 1, started(), exited(attempt_pb2.ATTEMPT_OUTCOME_CRASHED))
    verdict = await report(fleet, emitter, 3, emitted(ARRIVED))
    assert verdict.verdict == "fenced"
    assert await answers(fleet, run) == []


async def test_another_workspace_hears_nothing(log, fleet):
    other = await new_fleet(log)
    run = await waiting(other, ARRIVED)
    emitter = await fleet.granted_run()
    await report(fleet, emitter, 1, started(), emitted(ARRIVED))
    assert await answers(other, run) == []
