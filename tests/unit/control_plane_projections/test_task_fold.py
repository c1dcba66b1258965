"""The fold of facts into calls, without a database: in any order, any number of times, with the same result."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.ports import Cursor, Recorded
from headway_control_plane.domain.run.events import RunCancelled, RunCrashed, RunFailed
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.projections.read_model import BrokenEvent
from headway_control_plane.projections.task_fold import (
    KEPT_RETRIES,
    Attempt,
    Call,
    Standing,
    count_changes,
    fold,
    parse,
    wanted,
)

RUN = UUID(int=7)
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALL = b"c" * 16


def recorded(
    offset: int, body, *, at: float = 0.0, kind=StreamKind.ATTEMPT, fence: int = 1
) -> Recorded:
    when = START + timedelta(seconds=at)
    decoder = body if callable(body) else lambda _: body
    name = "CallEnded" if callable(body) else type(body).__name__
    stream = Stream(kind, RUN, fence if kind is StreamKind.ATTEMPT else 0)
    return Recorded(
        Cursor(1, offset), 1, 0, stream, offset, name, 1, UUID(int=offset), when, when, "a", None, "", b"", b"", decoder
    )  # fmt: skip


def started(offset: int = 1, at: float = 0.0, **values) -> Recorded:
    return recorded(
        offset,
        facts.CallStarted(call=CALL, name="load", kind=facts.CALL_KIND_TASK, **values),
        at=at,
    )


def retrying(number: int, offset: int = 2, at: float = 1.0) -> Recorded:
    message = facts.CallRetrying(
        call=CALL, name="load", delay_us=5_000_000, error=facts.Error(error_class="OSError")
    )
    setattr(message, "try", number)
    return recorded(offset, message, at=at)


def ended(
    offset: int = 3, at: float = 9.0, outcome=facts.CALL_OUTCOME_COMPLETED, **values
) -> Recorded:
    began = int(START.timestamp() * 1_000_000)
    message = facts.CallEnded(
        call=CALL, name="load", started_at_us=began, outcome=outcome, tries=2, **values
    )
    return recorded(offset, message, at=at)


def folded(*events: Recorded):
    rows = {}
    fold(parse(events), rows)
    return rows


def only_row(*events: Recorded):
    [row] = folded(*events).values()
    return row


def test_a_call_that_began_runs():
    row = only_row(started(at=2))
    assert (row.status, row.name, row.kind, row.tries) == ("running", "load", "task", 1)
    assert row.started_at == START + timedelta(seconds=2)
    assert row.ended_at is None


def test_the_end_alone_says_all():
    row = only_row(ended(result=facts.Result(codec="json", size_bytes=3, digest=b"d")))
    assert (row.status, row.tries, row.first_offset) == ("completed", 2, 3)
    assert (row.started_at, row.ended_at) == (START, START + timedelta(seconds=9))
    assert row.result is not None
    assert row.result["size_bytes"] == 3


def test_every_order_of_a_calls_facts_ends_in_the_same_row():
    story = [started(), retrying(1), retrying(2, offset=3, at=2), ended(offset=4)]
    rows = [only_row(*order) for order in itertools.permutations(story)]
    assert all(row == rows[0] for row in rows)
    assert [retry.number for retry in rows[0].retries] == [1, 2]


@given(st.lists(st.sampled_from([0, 1, 2]), max_size=6))
def test_folding_facts_again_changes_nothing(again):
    story = [started(), retrying(1), ended()]
    assert only_row(*story, *(story[n] for n in again)) == only_row(*story)


def test_a_retrying_call_waits_and_knows_why():
    row = only_row(started(), retrying(1))
    assert (row.status, row.tries) == ("retrying", 2)
    [retry] = row.retries
    assert (retry.number, retry.delay_us, retry.error_class) == (1, 5_000_000, "OSError")


def test_only_the_first_retries_are_kept():
    row = only_row(*(retrying(n, offset=n) for n in range(1, KEPT_RETRIES + 10)))
    assert [retry.number for retry in row.retries] == list(range(1, KEPT_RETRIES + 1))
    assert row.tries == KEPT_RETRIES + 10


def test_the_end_of_an_attempt_interrupts_what_is_open():
    over = recorded(5, facts.AttemptExited(outcome=facts.ATTEMPT_OUTCOME_CRASHED), at=4)
    row = only_row(started(), over)
    assert (row.status, row.ended_at) == ("interrupted", START + timedelta(seconds=4))


def test_a_runs_own_event_ends_the_attempt_that_it_names():
    lost = recorded(5, RunCrashed(fence=1, cause="lost"), kind=StreamKind.RUN, at=4)
    other = recorded(6, RunCrashed(fence=2, cause="lost"), kind=StreamKind.RUN, at=4)
    assert only_row(started(), lost).status == "interrupted"
    assert only_row(started(), other).status == "running"


def test_a_suspended_attempt_leaves_its_calls_waiting_with_the_run():
    asleep = recorded(5, facts.AttemptExited(outcome=facts.ATTEMPT_OUTCOME_SUSPENDED), at=4)
    row = only_row(started(), asleep)
    assert (row.status, row.ended_at) == ("paused", None)
    assert only_row(started(), retrying(1), asleep, asleep).status == "paused"


def test_what_waited_with_its_run_ends_with_it():
    asleep = recorded(5, facts.AttemptExited(outcome=facts.ATTEMPT_OUTCOME_SUSPENDED), at=4)
    for ends, status in (
        (RunCancelled(fence=1, evidence="no attempt open"), "cancelled"),
        (RunFailed(fence=1, cause="held too long"), "interrupted"),
    ):
        over = recorded(6, ends, kind=StreamKind.RUN, at=9)
        row = only_row(started(), asleep, over)
        assert (row.status, row.ended_at) == (status, START + timedelta(seconds=9))


def test_a_cancelled_attempt_cancels_what_is_open():
    over = recorded(5, facts.AttemptExited(outcome=facts.ATTEMPT_OUTCOME_CANCELLED), at=4)
    assert only_row(started(), over).status == "cancelled"


def test_what_has_ended_stays_so_when_its_attempt_ends():
    over = recorded(5, facts.AttemptExited(outcome=facts.ATTEMPT_OUTCOME_FAILED))
    assert only_row(ended(), over).status == "completed"


def test_attempts_keep_apart():
    first, second = started(), recorded(9, facts.CallStarted(call=CALL, name="load"), fence=2)
    rows = folded(first, second)
    assert {call.attempt.fence for call in rows} == {1, 2}


def test_a_withheld_name_is_filled_by_a_later_fact_that_has_it():
    nameless = recorded(1, facts.CallStarted(call=CALL))
    assert only_row(nameless).name == ""
    assert only_row(nameless, ended()).name == "load"


def test_what_must_be_loaded():
    over = recorded(5, facts.AttemptExited())
    needs = wanted(parse([started(), over, recorded(6, facts.AttemptStarted(pid=1))]))
    assert needs.calls == {Call(Attempt(RUN, 1), CALL)}
    assert needs.ended == {Attempt(RUN, 1)}


def test_counts_follow_the_rows():
    rows = folded(started())
    key = Call(Attempt(RUN, 1), CALL)
    assert count_changes({}, rows)[key.attempt]["running"] == 1
    before = {key: Standing("running", 1)}
    fold(parse([ended()]), rows)
    change = count_changes(before, rows)[key.attempt]
    assert (change["running"], change["completed"]) == (-1, 1)
    assert count_changes({key: Standing("completed", 1)}, rows) == {}


def test_an_event_that_cannot_be_decoded_is_named():
    def broken(_):
        raise ValueError("truncated")

    with pytest.raises(BrokenEvent, match=r"CallEnded at offset 4.*truncated") as caught:
        parse([started(), recorded(4, broken)])
    assert caught.value.offset == 4


def test_what_no_column_can_hold_does_not_stop_the_fold():
    odd = facts.CallEnded(
        call=CALL, name="a\0b", started_at_us=2**62, outcome=99, error=facts.Error(error_class="\0")
    )
    row = only_row(recorded(1, odd, at=5))
    assert (row.name, row.status, row.started_at) == (
        "a\ufffdb",
        "failed",
        START + timedelta(seconds=5),
    )
    late = facts.CallRetrying(call=CALL, delay_us=2**62)
    assert only_row(recorded(1, late)).retries[0].delay_us < 2**45


def test_a_result_from_the_cache_is_told_apart():
    skipped = {"outcome": facts.CALL_OUTCOME_SKIPPED, "result": facts.Result(codec="json")}
    assert only_row(ended(**skipped, cause="cached")).result["from"] == "cached"
    assert only_row(ended(**skipped, cause="target")).result["from"] == "target"
    assert "from" not in only_row(ended(**skipped)).result


def test_transactions_are_a_kind_of_call():
    assert only_row(ended(kind=facts.CALL_KIND_TRANSACTION)).kind == "transaction"
