"""Every state has one reason; cursors survive whatever comes back as one."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.projections.keyset import BadPageCursor, Edge
from headway_control_plane.projections.reasons import Circumstances, reason_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(
    st.builds(
        Circumstances,
        status=st.sampled_from(RunStatus),
        reason=st.sampled_from(
            ["", "retry", "lost", "refused", "held too long", "death seen", "exit: 3"]
        ),
        due_at=st.sampled_from([NOW - timedelta(1), NOW + timedelta(1)]),
        wait_reason=st.sampled_from(["", "no agent", "no free slot", "not due", "something new"]),
        wait_object=st.sampled_from(["", "local", "local 1/2"]),
        pool=st.just("local"),
        agent=st.sampled_from(["", "agent-1"]),
        session=st.none() | st.sampled_from(SessionStatus),
    )
)
def test_every_run_but_a_completed_one_says_why(at: Circumstances) -> None:
    reason = reason_of(at, NOW)
    if at.status is RunStatus.COMPLETED:
        assert reason.code == ""
    elif at.status is RunStatus.CANCELLED and not at.reason:
        pass  # the log never closes a run so without its evidence
    elif at.status is RunStatus.PAUSED and not at.reason:
        pass  # nor does it pause one without a reason
    else:
        assert reason.code
        assert reason.text


@pytest.mark.parametrize(
    ("status", "more", "code", "text"),
    [
        (
            "scheduled",
            {"wait_reason": "no agent", "wait_object": "gpu"},
            "no agent",
            'no agent is connected to pool "gpu"',
        ),
        (
            "scheduled",
            {"wait_reason": "no free slot", "wait_object": "gpu 2/2", "pool": "gpu"},
            "no free slot",
            'waits for a free slot in pool "gpu" (2/2)',
        ),
        (
            "scheduled",
            {"reason": "retry", "due_at": NOW + timedelta(seconds=8)},
            "retry",
            "retry at 2026-11-22 12:00:08 UTC",
        ),
        ("scheduled", {"reason": "retry"}, "retry", "retry: about to be given to an agent"),
        ("running", {"agent": "a"}, "executing", 'on agent "a"'),
        (
            "running",
            {"agent": "a", "session": SessionStatus.LOST},
            "disconnected",
            'agent "a" is out of reach; the run goes on there if it can',
        ),
        ("failed", {"error_class": "ValueError"}, "error", "ValueError"),
        (
            "cancelled",
            {"reason": "never started"},
            "never started",
            "cancelled before it started",
        ),
    ],
)
def test_the_words_are_these(status: str, more: dict, code: str, text: str) -> None:
    values = {"reason": "", "due_at": NOW} | more
    reason = reason_of(Circumstances(status=RunStatus(status), **values), NOW)
    assert (reason.code, reason.text) == (code, text)


@given(st.text(), st.booleans())
def test_an_edge_is_read_as_it_was_written(key: str, back: bool) -> None:
    edge = Edge(key, back)
    assert Edge.decode(edge.encode()) == edge


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_a_bad_cursor_and_nothing_worse(text: str) -> None:
    with suppress(BadPageCursor):  # this is what a stranger's text is answered with
        Edge.decode(text)
