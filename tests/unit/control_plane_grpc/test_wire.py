"""Whatever bytes an agent sends: a checked value, or a typed refusal. Never another error."""

from uuid import UUID

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.application.ports import (
    AttemptVerdict,
    Cursor,
    FactsVerdict,
    Witness,
)
from headway_control_plane.grpc_api.core import Received, Rotation, Stream, step
from headway_control_plane.grpc_api.settings import Limits
from headway_control_plane.grpc_api.wire import Malformed, ack, read_facts, read_hello, read_lines

LIMITS = Limits()
RUN = UUID(int=1)
REF = pb.AttemptRef(run=RUN.bytes, fence=1)
GREETED = Stream(LIMITS, Rotation(1e9, 1.0, 1.0), greeted=True)

refs = st.builds(
    pb.AttemptRef,
    run=st.binary(max_size=20) | st.just(RUN.bytes),
    fence=st.integers(-(2**63), 2**63 - 1),
)
fact = st.builds(
    pb.Fact,
    type=st.text(max_size=10),
    schema_version=st.integers(-(2**31), 2**31 - 1),
    occurred_at_us=st.integers(-(2**63), 2**63 - 1),
    payload=st.binary(max_size=30),
)
attempt_facts = st.builds(
    pb.AttemptFacts,
    attempt=refs,
    first_seq=st.integers(-(2**63), 2**63 - 1),
    facts=st.lists(fact, max_size=3),
)
hello = st.builds(
    pb.Hello,
    protocol=st.integers(-1, 2),
    session=st.binary(max_size=17),
    host=st.text(max_size=300),
    slots=st.integers(-(2**31), 2**31 - 1),
    held=st.lists(
        st.builds(pb.HeldAttempt, attempt=refs, last_seq=st.integers(-(2**63), 2**63 - 1)),
        max_size=3,
    ),
)
messages = st.one_of(
    st.builds(pb.SessionRequest, hello=hello),
    st.builds(
        pb.SessionRequest,
        facts=st.builds(pb.FactBatch, attempts=st.lists(attempt_facts, max_size=3)),
    ),
    st.builds(
        pb.SessionRequest,
        logs=st.builds(
            pb.LogBatch,
            attempt=refs,
            first_line=st.integers(-(2**63), 2**63 - 1),
            lines=st.integers(-(2**31), 2**31 - 1),
            content=st.binary(max_size=20),
        ),
    ),
    st.builds(pb.SessionRequest, goodbye=st.builds(pb.Goodbye, reason=st.text(max_size=20))),
)


@settings(max_examples=300, deadline=None)
@given(messages, st.booleans())
def test_any_message_is_judged(message: pb.SessionRequest, greeted: bool) -> None:
    state = GREETED if greeted else Stream(LIMITS, Rotation(1e9, 1.0, 1.0))
    _, effects = step(state, 0.0, Received(message))
    assert effects


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_that_are_a_message_are_judged(raw: bytes) -> None:
    try:
        message = pb.SessionRequest.FromString(raw)
    except DecodeError:
        return
    step(GREETED, 0.0, Received(message))


def test_facts_are_read_as_they_came() -> None:
    item = pb.AttemptFacts(
        attempt=REF,
        first_seq=3,
        facts=[pb.Fact(type="CallEnded", schema_version=1, occurred_at_us=5, payload=b"p")],
        blobs=[pb.Blob(digest=b"d", content=b"c")],
    )
    facts = read_facts(pb.FactBatch(id=9, attempts=[item]), LIMITS)
    assert (facts.id, facts.count) == (9, 1)
    (attempt,) = facts.attempts
    assert (attempt.run, attempt.fence, attempt.first_seq) == (RUN, 1, 3)
    assert list(attempt.facts) == [("CallEnded", 1, 5, b"p")]
    assert attempt.blobs[0].content == b"c"


def test_output_must_be_compressed() -> None:
    with pytest.raises(Malformed):
        read_lines(pb.LogBatch(attempt=REF, first_line=1, lines=1, content=b"{}"), LIMITS)


def test_an_ack_without_a_witness_carries_none() -> None:
    verdict = AttemptVerdict(RUN, 1, FactsVerdict.GAP, 4)
    message = ack(7, [verdict], None).ack
    assert not message.HasField("witness")
    assert (message.attempts[0].verdict, message.attempts[0].last_seq) == (pb.VERDICT_GAP, 4)
    witnessed = ack(7, [verdict], Witness(Cursor(2, 30), b"h")).ack
    assert (witnessed.witness.epoch, witnessed.witness.offset, witnessed.witness.chain) == (
        2,
        30,
        b"h",
    )


@pytest.mark.parametrize("verdict", FactsVerdict)
def test_every_verdict_has_its_word_on_the_wire(verdict: FactsVerdict) -> None:
    message = ack(1, [AttemptVerdict(RUN, 1, verdict, 0)], None).ack
    assert pb.Verdict.Name(message.attempts[0].verdict) == f"VERDICT_{verdict.name}"


def test_hello_says_whether_several_messages_may_come_in_one() -> None:
    def said(*capabilities: str) -> bool:
        message = pb.Hello(session=RUN.bytes, capabilities=capabilities)
        return read_hello(message, LIMITS).takes_several

    assert said("log-gaps", "several")
    assert not said()
    assert not said("severals", "Several")
