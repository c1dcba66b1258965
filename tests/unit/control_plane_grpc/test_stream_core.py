"""The server's side of a stream: what comes up, judged without a socket."""

from dataclasses import replace
from uuid import UUID

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.grpc_api import core
from headway_control_plane.grpc_api.core import Ending, Received, Rotation, Stream, step
from headway_control_plane.grpc_api.settings import Limits

RUN = UUID(int=1)
LIMITS = Limits(credit_facts=10, credit_bytes=2000, batch_facts=8)
FRESH = Stream(LIMITS, Rotation(drain_at=1000.0, after=3.0, grace=5.0))
HELLO = pb.SessionRequest(hello=pb.Hello(protocol=1, session=UUID(int=9).bytes, slots=2))


def facts(number: int, count: int, payload: bytes = b"") -> pb.SessionRequest:
    item = pb.AttemptFacts(
        attempt=pb.AttemptRef(run=RUN.bytes, fence=1),
        first_seq=1,
        facts=[pb.Fact(type="CallEnded", payload=payload)] * count,
    )
    return pb.SessionRequest(facts=pb.FactBatch(id=number, attempts=[item]))


def lines(size: int) -> pb.SessionRequest:
    batch = pb.LogBatch(
        attempt=pb.AttemptRef(run=RUN.bytes, fence=1),
        first_line=1,
        lines=1,
        content=b"\x28\xb5\x2f\xfd" + bytes(size - 4),
    )
    return pb.SessionRequest(logs=batch)


def greeted() -> Stream:
    return step(FRESH, 0.0, Received(HELLO))[0]


def closes(effects: core.Effects) -> Ending | None:
    return next((e.why for e in effects if isinstance(e, core.Close)), None)


def test_hello_opens_once() -> None:
    state, effects = step(FRESH, 0.0, Received(HELLO))
    (opened,) = effects
    assert isinstance(opened, core.Open)
    assert (opened.hello.session, opened.hello.slots) == (UUID(int=9), 2)
    assert closes(step(state, 0.0, Received(HELLO))[1]) is Ending.MALFORMED


@pytest.mark.parametrize("kind", ["renew", "slots", "facts", "logs", "goodbye"])
def test_nothing_comes_before_hello(kind: str) -> None:
    message = pb.SessionRequest()
    getattr(message, kind).SetInParent()
    assert closes(step(FRESH, 0.0, Received(message))[1]) is Ending.MALFORMED


def test_an_empty_message_is_malformed() -> None:
    assert closes(step(FRESH, 0.0, Received(pb.SessionRequest()))[1]) is Ending.MALFORMED
    assert closes(step(greeted(), 0.0, Received(pb.SessionRequest()))[1]) is Ending.MALFORMED


def test_another_protocol_is_named() -> None:
    message = pb.SessionRequest(hello=pb.Hello(protocol=3, session=bytes(16)))
    state, (closed,) = step(FRESH, 0.0, Received(message))
    assert closed.why is Ending.PROTOCOL
    assert "3" in closed.message
    assert not state.greeted


def test_nothing_follows_goodbye() -> None:
    goodbye = pb.SessionRequest(goodbye=pb.Goodbye(reason="r" * 500, handover=True))
    state, (leave,) = step(greeted(), 0.0, Received(goodbye))
    assert leave == core.Leave("r" * 200, handover=True)
    assert closes(step(state, 0.0, Received(facts(1, 1)))[1]) is Ending.MALFORMED


def test_credit_is_taken_by_batches_and_given_back_by_answers() -> None:
    state, effects = step(greeted(), 0.0, Received(facts(1, 6)))
    assert isinstance(effects[0], core.StoreFacts)
    assert closes(step(state, 0.0, Received(facts(2, 6)))[1]) is Ending.TOO_MUCH
    state, _ = step(state, 0.0, core.Answered(1))
    assert not state.batches
    assert closes(step(state, 0.0, Received(facts(2, 6)))[1]) is None


def test_credit_counts_bytes_too() -> None:
    state, _ = step(greeted(), 0.0, Received(facts(1, 1, bytes(1500))))
    assert closes(step(state, 0.0, Received(facts(2, 1, bytes(1500))))[1]) is Ending.TOO_MUCH


def test_one_batch_may_be_larger_than_the_credit_when_it_is_alone() -> None:
    assert closes(step(greeted(), 0.0, Received(facts(1, 1, bytes(5000))))[1]) is None


def test_a_batch_over_its_limit_is_refused() -> None:
    assert closes(step(greeted(), 0.0, Received(facts(1, 9)))[1]) is Ending.TOO_MUCH


def test_a_batch_id_in_use_is_refused() -> None:
    state, _ = step(greeted(), 0.0, Received(facts(1, 1)))
    assert closes(step(state, 0.0, Received(facts(1, 1)))[1]) is Ending.MALFORMED


def test_output_has_a_credit_of_its_own() -> None:
    state, _ = step(greeted(), 0.0, Received(lines(1500)))
    assert closes(step(state, 0.0, Received(lines(1500)))[1]) is Ending.TOO_MUCH
    state, _ = step(state, 0.0, core.LinesAnswered(1500))
    assert closes(step(state, 0.0, Received(lines(1500)))[1]) is None


def test_rotation_asks_once_and_then_closes() -> None:
    state, effects = step(greeted(), 999.0, core.Ticked())
    assert effects == ()
    assert core.wake_at(state) == 1000.0
    state, effects = step(state, 1000.0, core.Ticked())
    assert effects == (core.AskToMove(3.0),)
    assert core.wake_at(state) == 1008.0
    assert step(state, 1001.0, core.Ticked())[1] == ()
    assert closes(step(state, 1008.0, core.Ticked())[1]) is Ending.ROTATION


def test_a_renewal_finds_the_rotation_due() -> None:
    renew = pb.SessionRequest(renew=pb.Renew(id=4))
    _, effects = step(greeted(), 1000.0, Received(renew))
    assert effects == (core.Renew(4), core.AskToMove(3.0))


def test_shutdown_asks_at_once() -> None:
    state, effects = step(greeted(), 10.0, core.MoveNow(0.5))
    assert effects == (core.AskToMove(0.5),)
    assert state.gone_by == 15.5


def test_states_are_values() -> None:
    state = greeted()
    before = replace(state)
    step(state, 0.0, Received(facts(1, 1)))
    assert state == before
