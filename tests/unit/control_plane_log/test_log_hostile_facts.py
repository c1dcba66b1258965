"""Facts that are right in form and would break what reads them: refused one by one, at the door."""

import os
from datetime import UTC, datetime
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.ports import AttemptFacts, Cursor, Fact, Recorded
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.codec import EVENT_TYPES
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import CALL_BYTES_MAX, prepare
from headway_control_plane.log.upcast import decode_any
from headway_control_plane.projections.task_fold import fold, parse
from support.log_fixtures import NOW_US, call_ended, fact

RUN = UUID(int=1)
YEAR_10000_US = 253_402_300_800_000_000
LONG = b"k" * (CALL_BYTES_MAX + 1)


@pytest.mark.parametrize(
    "hostile",
    [
        fact(attempt_pb2.CallStarted(call=LONG)),
        fact(attempt_pb2.CallRetrying(call=LONG)),
        fact(attempt_pb2.CallEnded(call=b"k", parent=LONG)),
        # In some zone this is the year 10000 already.
        Fact("CallStarted", 1, YEAR_10000_US - 1, b""),
    ],
    ids=["call", "retry", "parent", "instant"],
)
def test_what_no_index_and_no_calendar_can_hold_is_refused(hostile: Fact):
    batch = AttemptFacts(RUN, 1, 1, [call_ended(1), hostile])
    facts = prepare(batch, EventIds(lambda: 1, os.urandom))
    assert list(facts.bad) == [1]


def test_a_name_of_a_call_at_the_limit_is_taken():
    longest = fact(attempt_pb2.CallStarted(call=LONG[1:], parent=LONG[1:]), at_us=NOW_US)
    facts = prepare(AttemptFacts(RUN, 1, 1, [longest]), EventIds(lambda: 1, os.urandom))
    assert not facts.bad


def test_tries_beyond_a_column_do_not_stop_the_projection():
    body = attempt_pb2.CallRetrying(call=b"k")
    setattr(body, "try", 2**31 - 1)
    at, stream = datetime(2026, 11, 22, tzinfo=UTC), Stream(StreamKind.ATTEMPT, RUN, 1)
    event = Recorded(
        Cursor(1, 1), 1, 0, stream, 1, "CallRetrying", 1, RUN, at, at, "a", None, "", b"", b"", lambda _: body
    )  # fmt: skip
    rows = {}
    fold(parse([event]), rows)
    (row,) = rows.values()
    assert row.tries == 2**31 - 1


def recorded(fact_, version=1):
    at, stream = datetime(2026, 11, 22, tzinfo=UTC), Stream(StreamKind.ATTEMPT, RUN, 1)
    return Recorded(
        Cursor(1, 1), 1, 0, stream, version, fact_.type, fact_.schema_version, RUN, at, at, "a", None, "", fact_.payload, b"",
        lambda event: decode_any(event.type, event.schema_version, event.payload),
    )  # fmt: skip


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_an_event_of_the_control_plane_is_no_fact(type_: str):
    """Whatever reads the log would stop at it, or believe it."""
    batch = AttemptFacts(RUN, 1, 1, [call_ended(1), Fact(type_, 1, NOW_US, b"\xff")])
    facts = prepare(batch, EventIds(lambda: 1, os.urandom))
    assert list(facts.bad) == [1]


@pytest.mark.parametrize("type_", ["CallStarted", "CallRetrying", "CallEnded", "AttemptExited"])
def test_a_fact_of_a_later_version_is_kept_and_read_over(type_: str):
    later = Fact(type_, 2, NOW_US, b"\xff")
    facts = prepare(AttemptFacts(RUN, 1, 1, [later]), EventIds(lambda: 1, os.urandom))
    assert not facts.bad
    assert parse([recorded(later)]) == []
