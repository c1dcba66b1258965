from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headway_agent.core import planning, resume
from headway_agent.core.planning import plan
from headway_agent.core.resume import (
    Acked,
    Answer,
    Close,
    Have,
    Holding,
    Kill,
    Lost,
    Record,
    Reporting,
    Restored,
    Sent,
    Span,
    Verdict,
    Warn,
    Welcomed,
    bytes_in_flight,
    step,
)

A, B, C = ("a", 1), ("b", 1), ("c", 1)
CREDITS = (1_024, 512 * 1024)


def have(*attempts: tuple[tuple[str, int], int], alive: bool = True) -> Holding:
    return Holding(tuple(Have(a, durable, 0, alive) for a, durable in attempts))


def opened(*attempts: tuple[tuple[str, int], int]) -> Reporting:
    """Connected first, so that nothing has to catch up."""
    state, _ = step(Reporting(), 0.0, Welcomed(*CREDITS, ()))
    return step(state, 0.0, have(*attempts))[0]


def send(state: Reporting, now: float = 0.0, size: int = 100) -> Reporting:
    """What the loop does with a plan when everything fits."""
    planned = plan(state, now)
    assert planned is not None
    spans, room = [], planned.max_facts
    for want in planned.wants:
        count = min(want.max_items, room)
        if count:
            spans.append(Span(want.attempt, want.after + 1, want.after + count))
            room -= count
    return step(state, now, Sent(tuple(spans), size, planned.resend))[0]


def ack(batch: int, *answers: tuple[Any, ...]) -> Acked:
    return Acked(batch, tuple(Answer(*a) for a in answers))


def test_facts_are_sent_once_and_recorded_after_the_answer() -> None:
    state = send(opened((A, 3)))
    assert plan(state, 0.0) is None
    state, effects = step(state, 1.0, ack(1, (A, Verdict.OK, 3)))
    assert effects == (Record(A, 3),)
    assert state.flights == {}


def test_an_answer_to_an_unknown_batch_changes_nothing() -> None:
    state = opened((A, 3))
    assert step(state, 0.0, ack(77, (A, Verdict.OK, 3))) == (state, ())


def test_a_lost_stream_sends_again_what_has_no_answer() -> None:
    state = send(opened((A, 3)))
    state, _ = step(state, 0.0, Lost())
    assert plan(state, 0.0) is None
    state, effects = step(state, 0.0, Welcomed(*CREDITS, (Answer(A, Verdict.OK, 1),)))
    assert effects == (Record(A, 1),)
    planned = plan(state, 0.0)
    assert planned is not None
    assert (planned.wants[0].after, planned.wants[0].max_items) == (1, 2)
    assert step(state, 0.0, ack(1, (A, Verdict.OK, 3))) == (state, ())


def test_a_control_plane_behind_our_notes_gets_it_again() -> None:
    state, _ = step(send(opened((A, 9))), 0.0, ack(1, (A, Verdict.OK, 9)))
    state, _ = step(state, 0.0, Lost())
    state, effects = step(state, 0.0, Welcomed(*CREDITS, (Answer(A, Verdict.OK, 4),)))
    assert effects == ()
    assert state.positions[A].sent == 4


def test_a_gap_rewinds_once_for_all_batches_on_their_way() -> None:
    state = opened((A, 700))
    state = send(send(send(state)))
    assert state.positions[A].sent == 700
    state, _ = step(state, 0.0, ack(2, (A, Verdict.GAP, 0)))
    assert state.positions[A].sent == 0
    state = send(state)
    state, _ = step(state, 0.0, ack(3, (A, Verdict.GAP, 0)))
    assert state.positions[A].sent == 256


def test_poison_is_replaced_and_not_sent_for_ever() -> None:
    state = send(opened((A, 5)))
    state, effects = step(state, 0.0, ack(1, (A, Verdict.POISON, 2, "odd")))
    assert effects[0] == Record(A, 2)
    assert isinstance(effects[1], Warn)
    assert dict(state.positions[A].dropped) == {3: "odd"}
    assert state.positions[A].sent == 2
    state = send(state)
    refused_again, _ = step(state, 0.0, ack(2, (A, Verdict.POISON, 2, "odd")))
    assert plan(refused_again, 0.0) is None
    assert planning.wake_at(refused_again, 0.0) == resume.POISON_PAUSE
    state, _ = step(state, 0.0, ack(2, (A, Verdict.OK, 5)))
    assert dict(state.positions[A].dropped) == {}


def test_retry_waits_and_then_goes_on_after_what_is_stored() -> None:
    state, _ = step(send(opened((A, 5))), 10.0, ack(1, (A, Verdict.RETRY, 0, "", 2.0)))
    assert plan(state, 11.9) is None
    assert planning.wake_at(state, 10.0) == 12.0
    planned = plan(state, 12.0)
    assert planned is not None
    assert planned.wants[0].after == 0


def test_fenced_kills_once_and_closes_when_the_rest_is_sent() -> None:
    state = send(opened((A, 2)))
    state, effects = step(state, 0.0, ack(1, (A, Verdict.FENCED, 0)))
    assert effects == (Record(A, 2), Kill(A))
    state, effects = step(state, 0.0, have((A, 3), alive=False))
    assert effects == ()
    state = send(state)
    state, effects = step(state, 0.0, ack(2, (A, Verdict.FENCED, 0)))
    assert effects == (Record(A, 3), Close(A, "a newer attempt took over"))


def test_an_unknown_run_is_closed() -> None:
    state = send(opened((A, 2)))
    _, effects = step(state, 0.0, ack(1, (A, Verdict.UNKNOWN, 0, "who")))
    assert effects == (Close(A, "who"),)


def test_catching_up_takes_a_quarter_of_the_window_and_gives_way() -> None:
    state, _ = step(Reporting(), 0.0, have((A, 5_000), (B, 600)))
    state, _ = step(state, 0.0, Welcomed(*CREDITS, ()))
    planned = plan(state, 0.0)
    assert planned is not None
    assert planned.resend
    assert [w.attempt for w in planned.wants] == [B, A]
    assert planned.max_facts == 256
    assert planned.max_bytes == 128 * 1024
    state = send(state)
    assert plan(state, 0.0) is None
    state, _ = step(state, 0.0, have((A, 5_000), (B, 600), (C, 1)))
    planned = plan(state, 0.0)
    assert planned is not None
    assert (planned.resend, [w.attempt for w in planned.wants]) == (False, [C])


def test_attempts_take_turns() -> None:
    state = opened((A, 600), (B, 600))
    first = plan(state, 0.0)
    assert first is not None
    assert [w.attempt for w in first.wants] == [A, B]
    second = plan(send(state), 0.0)
    assert second is not None
    assert [w.attempt for w in second.wants] == [B, A]


def test_a_closed_attempt_leaves_no_trace() -> None:
    state, _ = step(opened((A, 1), (B, 1)), 0.0, have((B, 1)))
    assert set(state.positions) == {B}
    assert state.order == (B,)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_lost_everything_arrives_in_order_within_the_window(
    data: st.DataObject,
) -> None:
    """A control plane that stores contiguously, against lost answers, cut streams and odd verdicts."""
    stored = {A: 0, B: 0}
    durable = {A: 0, B: 0}
    state = Reporting()
    credits_facts = data.draw(st.integers(4, 600))
    for _ in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["write", "send", "answer", "lose", "cut", "welcome"]))
        if action == "write":
            durable[data.draw(st.sampled_from([A, B]))] += data.draw(st.integers(1, 400))
            state, _ = step(state, 0.0, have(*durable.items()))
        elif action == "send" and plan(state, 0.0) is not None:
            state = send(state)
            assert sum(f.facts for f in state.flights.values()) <= credits_facts
        elif action in ("answer", "lose") and state.flights:
            batch = min(state.flights)
            answers = _store(stored, state.flights[batch].spans)
            if action == "answer":
                state, _ = step(state, 0.0, Acked(batch, answers))
        elif action == "cut":
            state, _ = step(state, 0.0, Lost())
        elif action == "welcome":
            state = _welcome(state, stored, credits_facts)
    state = _welcome(state, stored, credits_facts)
    for _ in range(10_000):
        if plan(state, 0.0) is None:
            break
        state = send(state)
        batch = min(state.flights)
        state, _ = step(state, 0.0, Acked(batch, _store(stored, state.flights[batch].spans)))
    assert stored == durable
    assert bytes_in_flight(state) == 0


def _welcome(state: Reporting, stored: dict[Any, int], credit: int) -> Reporting:
    answers = tuple(Answer(a, Verdict.OK, last) for a, last in stored.items())
    state, _ = step(state, 0.0, Lost())
    return step(state, 0.0, Welcomed(credit, 512 * 1024, answers))[0]


def _store(stored: dict[Any, int], spans: tuple[Span, ...]) -> tuple[Answer, ...]:
    answers = []
    for span in spans:
        verdict = Verdict.GAP if span.first > stored[span.attempt] + 1 else Verdict.OK
        if verdict is Verdict.OK:
            stored[span.attempt] = max(stored[span.attempt], span.last)
        answers.append(Answer(span.attempt, verdict, stored[span.attempt]))
    return tuple(answers)


def test_what_a_restored_log_lacks_is_sent_again_and_recorded_again() -> None:
    state = send(opened((A, 3)))
    state, _ = step(state, 0.0, ack(1, (A, Verdict.OK, 3)))
    state, effects = step(step(state, 0.0, Lost())[0], 0.0, Restored())
    assert effects == ()
    assert plan(state, 0.0) is None
    state, effects = step(state, 0.0, Welcomed(*CREDITS, (Answer(A, Verdict.OK, 1),)))
    assert effects == (Record(A, 1),)
    state = send(state)
    assert state.flights[2].spans == (Span(A, 2, 3),)
    state, effects = step(state, 0.0, ack(2, (A, Verdict.OK, 3)))
    assert effects == (Record(A, 3),)
