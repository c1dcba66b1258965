"""Facts are admitted by ranges, against a model that counts one by one."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headway_control_plane.domain.attempt.admission import Verdict, admit
from headway_control_plane.domain.run.state import AttemptState, AttemptStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def attempt(last_seq, fence=1, *, is_open=True):
    status = AttemptStatus.RUNNING if is_open else AttemptStatus.CLOSED
    return AttemptState(
        UUID(int=1),
        fence,
        status,
        UUID(int=2),
        UUID(int=3),
        last_seq,
        NOW,
        NOW,
        None,
        "",
        cancel=False,
    )


@given(known=st.integers(0, 20), first=st.integers(1, 30), count=st.integers(1, 20))
def test_what_is_accepted_continues_without_gap_or_repetition(known, first, count):
    answer = admit(attempt(known), 1, first, count)
    seqs = list(range(first, first + count))
    new = [seq for seq in seqs if seq > known]
    if not new:
        assert (answer.verdict, answer.accept) == (Verdict.OK, 0)
    elif new[0] != known + 1:
        assert (answer.verdict, answer.accept) == (Verdict.GAP, 0)
    else:
        assert seqs[answer.skip : answer.skip + answer.accept] == new
    assert answer.last_seq == known + answer.accept


def test_every_short_range_is_judged_as_counting_one_by_one_would():
    for known, first, count in product(range(5), range(1, 8), range(1, 5)):
        new = [seq for seq in range(first, first + count) if seq > known]
        answer = admit(attempt(known), 1, first, count)
        contiguous = bool(new) and new[0] == known + 1
        assert answer.accept == (len(new) if contiguous else 0), (known, first, count)
        assert (answer.verdict is Verdict.GAP) == (bool(new) and not contiguous)


@given(
    known=st.integers(0, 20),
    first=st.integers(1, 30),
    count=st.integers(1, 20),
    is_open=st.booleans(),
)
def test_an_old_fence_adds_nothing(known, first, count, is_open):
    answer = admit(attempt(known, fence=1, is_open=is_open), 2, first, count)
    assert answer.accept == 0
    assert answer.verdict is (Verdict.OK if first + count - 1 <= known else Verdict.FENCED)


def test_facts_of_an_unknown_attempt_are_answered():
    assert admit(None, 0, 1, 3).verdict is Verdict.UNKNOWN


def test_a_closed_attempt_answers_what_it_knows_and_fences_the_rest():
    assert admit(attempt(5, is_open=False), 1, 4, 2).verdict is Verdict.OK
    assert admit(attempt(5, is_open=False), 1, 6, 1).verdict is Verdict.FENCED
