"""What is checked of a fact before anything is locked."""

import os
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.ports import AttemptFacts, Fact
from headway_control_plane.domain.commands import AttemptBegan, AttemptOver
from headway_control_plane.domain.streams import NO_BLOB, Blob
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX, prepare
from support.log_fixtures import NOW_US, bad_fact, call_ended, calls, exited, started

RUN = UUID("01a2044d-0000-7000-8000-000000000001")


def prepared(*facts, blobs=()):
    ids = EventIds(lambda: 1, os.urandom)
    return prepare(AttemptFacts(RUN, 2, 1, facts, blobs), ids)


@pytest.mark.parametrize(
    "fact",
    [
        bad_fact(),
        Fact("", 1, NOW_US, b""),
        Fact("lower", 1, NOW_US, b""),
        Fact("X" * 65, 1, NOW_US, b""),
        Fact("Call\x00Ended", 1, NOW_US, b""),
        Fact("CallEnded", 0, NOW_US, b""),
        Fact("CallEnded", 1 << 15, NOW_US, b""),
        Fact("CallEnded", 1, -1, b""),
        Fact("CallEnded", 1, 1 << 62, b""),
        Fact("CallEnded", 1, NOW_US, b"x" * (PAYLOAD_BYTES_MAX + 1)),
        exited(attempt_pb2.ATTEMPT_OUTCOME_UNSPECIFIED),
        exited(cause="a\x00b"),
        exited(error=attempt_pb2.Error(error_class="E" * (TEXT_BYTES_MAX + 1))),
    ],
    ids=lambda fact: repr(fact)[:40],
)
def test_a_fact_that_cannot_be_stored_is_named_and_the_others_are_not(fact):
    facts = prepared(*calls(1, 2), fact, *calls(4, 1))
    assert list(facts.bad) == [2]
    assert facts.bad[2]
    assert len(facts) == 4


def test_an_end_becomes_the_command_that_closes_the_attempt():
    text = Blob.of(b"{}")
    error = attempt_pb2.Error(error_class="ValueError", text_digest=text.digest)
    result = attempt_pb2.Result(digest=b"r" * 32, size_bytes=7)
    end = exited(
        attempt_pb2.ATTEMPT_OUTCOME_CRASHED, cause="signal", signal=9, error=error, result=result
    )
    facts = prepared(started(), *calls(2, 1), end, blobs=[text])
    assert facts.commands == {
        0: AttemptBegan(RUN, 2),
        2: AttemptOver(
            RUN, 2, "crashed", "signal", "signal SIGKILL", "ValueError", text, b"r" * 32, 7
        ),
    }
    assert facts.commands[2].error_text.content == b"{}"
    assert facts.blobs == {text.digest: b"{}"}


@pytest.mark.parametrize(
    ("values", "detail"),
    [({"exit_code": 3}, "exit code 3"), ({"signal": 200}, "signal 200"), ({}, "")],
)
def test_how_a_process_ended_is_put_in_words(values, detail):
    facts = prepared(exited(**values))
    assert facts.commands[0].detail == detail
    assert facts.commands[0].error_text == NO_BLOB


def test_withheld_content_is_no_fault():
    error = attempt_pb2.Error(error_class="E", text_digest=b"t" * 32)
    facts = prepared(call_ended(1, error=error))
    assert (facts.bad, facts.blobs) == ({}, {})


def test_a_part_keeps_what_belongs_to_it():
    facts = prepared(started(), bad_fact(), *calls(3, 2), exited())
    part = facts.part(1, 5)
    assert (part.first_seq, len(part)) == (2, 4)
    assert list(part.bad) == [0]
    assert list(part.commands) == [3]
    assert part.event_ids == facts.event_ids[1:5]
