"""Ledger, outbox, pacing and addresses: the small parts of the agents' side."""

import asyncio
from uuid import UUID

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.common.v1 import data_class_pb2
from headway_control_plane.grpc_api.ledger import ENDED_KNOWN, Differences, Ledger, OpenAttempt
from headway_control_plane.grpc_api.outbox import Outbox, Overflow
from headway_control_plane.grpc_api.pacing import Gate, TokenBucket
from headway_control_plane.grpc_api.server import is_loopback
from headway_control_plane.grpc_api.wire import permitted_classes

A, B, C = (UUID(int=n) for n in range(1, 4))


def test_an_assign_is_said_once_for_each_fence() -> None:
    ledger = Ledger()
    assert ledger.assign(A, 1)
    assert not ledger.assign(A, 1)
    assert ledger.assign(A, 2)
    assert {(A, 1), (A, 2)} <= ledger.known


def test_a_cancel_is_said_once_and_only_of_what_is_open() -> None:
    ledger = Ledger()
    assert ledger.cancel(A) is None
    ledger.assign(A, 1)
    assert ledger.cancel(A) == (A, 1)
    assert ledger.cancel(A) is None
    ledger.close(A)
    ledger.assign(A, 2)
    assert ledger.cancel(A) == (A, 2)


def test_reports_stay_allowed_after_the_end_of_the_run() -> None:
    """Its last lines of output come behind its last fact."""
    ledger = Ledger()
    ledger.assign(A, 1)
    assert ledger.close(A)
    assert not ledger.close(A)
    assert (A, 1) in ledger.known
    ledger.forget(A)
    assert ledger.known == {(A, 1)}
    assert not ledger.open


def test_of_very_many_ended_runs_the_oldest_are_known_no_longer() -> None:
    ledger = Ledger()
    runs = [UUID(int=n) for n in range(ENDED_KNOWN + 1)]
    for run in runs:
        ledger.assign(run, 1)
        ledger.forget(run)
    assert (runs[0], 1) not in ledger.known
    assert (runs[-1], 1) in ledger.known
    assert len(ledger.known) == len(ledger.ended) == ENDED_KNOWN // 2 + 1


def test_rows_tell_what_is_still_to_be_said() -> None:
    ledger = Ledger()
    ledger.holds([(A, 1), (B, 1)], {A: 1, B: 1})
    rows = [OpenAttempt(A, 1, cancel=True), OpenAttempt(C, 4, cancel=False)]
    assert ledger.compare(rows) == Differences(assign=(C,), cancel=(A,), gone=((B, 1),))
    ledger.assign(C, 4)
    ledger.cancel(A)
    ledger.close(B)
    assert ledger.compare(rows) == Differences((), (), ())


def test_an_answer_is_told_once_to_the_attempt_that_is_open() -> None:
    ledger = Ledger()
    ledger.holds([(A, 1)], {A: 1})
    yes, no = pb.Answer(call=b"1", value=b"true"), pb.Answer(call=b"2", value=b"false")
    assert ledger.answer(A, 2, [yes]) == []
    assert ledger.answer(A, 1, [yes]) == [yes]
    assert ledger.answer(A, 1, [yes, no]) == [no]
    asks = [OpenAttempt(A, 1, cancel=False, asked=7)]
    assert ledger.compare(asks).answers == (A,)
    ledger.looked(A, 7)
    assert ledger.compare(asks).answers == ()
    assert ledger.compare([OpenAttempt(A, 1, cancel=False, asked=8)]).answers == (A,)
    assert ledger.compare([OpenAttempt(A, 1, cancel=False)]).answers == ()
    ledger.assign(A, 2)
    assert ledger.answer(A, 2, [yes]) == [yes]


def renewed(number: int) -> pb.SessionResponse:
    return pb.SessionResponse(renewed=pb.Renewed(id=number))


async def test_urgent_answers_go_first_and_deliveries_last() -> None:
    outbox = Outbox(10)
    outbox.deliver(renewed(3))
    outbox.answer(renewed(2))
    outbox.answer(renewed(1), urgent=True)
    assert [(await outbox.get()).renewed.id for _ in range(3)] == [1, 2, 3]


def together(size: int) -> Outbox:
    outbox = Outbox(1000)
    outbox.together_bytes = size
    return outbox


def parts(message: pb.SessionResponse) -> list[int]:
    return [each.renewed.id for each in message.several.messages]


async def test_what_waits_leaves_together_in_its_order_and_urgent_answers_alone() -> None:
    outbox = together(1 << 10)
    for number in (4, 5):
        outbox.deliver(renewed(number))
    for number in (2, 3):
        outbox.answer(renewed(number))
    outbox.answer(renewed(1), urgent=True)
    assert await outbox.get() == renewed(1)
    assert parts(await outbox.get()) == [2, 3, 4, 5]
    outbox.deliver(renewed(6))
    assert await outbox.get() == renewed(6)


async def test_what_leaves_together_is_bounded_in_bytes_and_number() -> None:
    outbox = together(1 << 12)
    big = pb.SessionResponse(assign=pb.Assign(parameters=bytes(1 << 13)))
    middling = pb.SessionResponse(assign=pb.Assign(parameters=bytes(1 << 11)))
    for message in (renewed(1), middling, middling, big, renewed(2), renewed(3)):
        outbox.deliver(message)
    taken = [await outbox.get() for _ in range(4)]
    assert list(taken[0].several.messages) == [renewed(1), middling]
    assert taken[1:3] == [middling, big]
    assert parts(taken[3]) == [2, 3]
    assert all(message == big or message.ByteSize() <= 1 << 12 for message in taken)
    for number in range(300):
        outbox.deliver(renewed(number))
    assert parts(await outbox.get()) + parts(await outbox.get()) == list(range(300))


async def test_a_lane_that_waits_for_room_is_not_overtaken() -> None:
    outbox = together(1 << 10)
    big = pb.SessionResponse(log_ack=pb.LogAck(attempt=pb.AttemptRef(run=bytes(1 << 11))))
    for answer in (renewed(1), big):
        outbox.answer(answer)
    outbox.deliver(renewed(2))
    assert [await outbox.get() for _ in range(3)] == [renewed(1), big, renewed(2)]


async def test_without_the_agents_word_each_message_goes_alone() -> None:
    outbox = Outbox(10)
    for number in range(3):
        outbox.deliver(renewed(number))
    assert [(await outbox.get()).renewed.id for _ in range(3)] == [0, 1, 2]


async def test_answers_are_bounded_and_deliveries_are_not_counted() -> None:
    outbox = Outbox(2)
    for number in range(10):
        outbox.deliver(renewed(number))
    outbox.answer(renewed(1))
    outbox.answer(renewed(2), urgent=True)
    with pytest.raises(Overflow):
        outbox.answer(renewed(3))
    with pytest.raises(Overflow):
        outbox.answer(renewed(3), urgent=True)


async def test_written_means_that_the_writer_came_back_for_more() -> None:
    outbox = Outbox(2)
    outbox.answer(renewed(1))
    done = asyncio.create_task(outbox.written())
    await outbox.get()
    await asyncio.sleep(0)
    assert not done.done()
    more = asyncio.create_task(outbox.get())
    await done
    more.cancel()
    await asyncio.gather(more, return_exceptions=True)


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10.0, burst=3.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.0) == pytest.approx(0.2)
    assert bucket.wait_for(0.0) == pytest.approx(0.3)
    assert bucket.take(0.4) == 0.0
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.1)]


def test_a_gate_has_so_many_places_and_gets_them_back() -> None:
    gate = Gate(2, shortest=2.0, longest=7.0)
    gate.enter()
    assert not gate.is_full
    gate.enter()
    assert gate.is_full
    gate.leave(0.1)
    assert not gate.is_full


def test_turns_follow_each_other_as_fast_as_places_become_free() -> None:
    gate = Gate(2, shortest=2.0, longest=7.0)
    for _ in range(50):
        gate.enter()
        gate.leave(4.0)
    # Two places, each taken for about four seconds.
    assert [gate.turn(0.0) for _ in range(4)] == pytest.approx([4.0, 6.0, 7.0, 7.0], abs=0.1)
    assert gate.turn(3.0) == pytest.approx(6.0, abs=0.1)
    assert gate.turn(100.0) == pytest.approx(4.0, abs=0.1)


def test_a_clock_that_goes_back_gives_no_tokens() -> None:
    bucket = TokenBucket(rate=1.0, burst=1.0)
    bucket.take(10.0)
    assert bucket.wait_for(5.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:0", True),
        ("127.8.9.1:7", True),
        ("localhost:50", True),
        ("[::1]:50", True),
        ("unix:/tmp/x", True),
        ("0.0.0.0:50", False),
        ("[::]:50", False),
        ("10.0.0.1:50", False),
        ("example.com:50", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine_alone(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_permits_are_data_classes_and_unknown_ones_permit_nothing() -> None:
    assert permitted_classes(["id", "error_class", "made_up"]) == [
        data_class_pb2.DATA_CLASS_ID,
        data_class_pb2.DATA_CLASS_ERROR_CLASS,
    ]
