"""Runs whose process waits for a person: what is asked can be answered, and nothing else about them changes."""

from datetime import timedelta

import pytest

from headway_control_plane.domain.commands import AnswerRun, AttemptAsked, AttemptOver, CancelRun
from headway_control_plane.domain.errors import InvalidState
from headway_control_plane.domain.run.events import RunAnswered, RunAsked, Waiting
from headway_control_plane.domain.run.evolve import MOST_ASKED
from headway_control_plane.domain.streams import Blob
from support.domain import RUN, SESSION, Workspace

ASKED = b"asked"
YES = Blob.of(b"true")


def wait(call=ASKED, until=None) -> Waiting:
    return Waiting(call, "input", "approve", b"", until, b"")


def asking(*waits: Waiting) -> Workspace:
    ws = Workspace().running()
    for each in waits or (wait(),):
        ws.when(AttemptAsked(RUN, 1, each))
    return ws


def test_it_runs_on_and_can_be_answered():
    before = Workspace().running().run
    ws = asking()
    assert (ws.run.status, ws.run.reason, ws.run.waits) == ("running", "input", (wait(),))
    assert (ws.run.session, ws.run.deadline) == (SESSION, before.deadline)
    assert ws.states.attempt(RUN, 1).is_open
    [answered] = ws.when(AnswerRun(RUN, ASKED, YES))
    assert isinstance(answered, RunAnswered)
    assert (ws.run.status, ws.run.answers) == ("running", ((ASKED, YES.digest),))
    with pytest.raises(InvalidState, match="answered before"):
        ws.when(AnswerRun(RUN, ASKED, YES))


def test_the_end_of_the_run_clears_what_it_asked():
    ws = asking()
    ws.when(AttemptOver(RUN, 1, "completed"))
    assert (ws.run.waits, ws.run.reason) == ((), "")
    with pytest.raises(InvalidState):
        ws.when(AnswerRun(RUN, ASKED, YES))


def test_an_answer_between_two_attempts_is_kept():
    ws = asking()
    ws.when(AttemptOver(RUN, 1, "crashed", cause="signal"))
    assert (ws.run.status, ws.run.reason) == ("scheduled", "retry")
    ws.when(AnswerRun(RUN, ASKED, YES))
    assert (ws.run.status, ws.run.answers) == ("scheduled", ((ASKED, YES.digest),))


@pytest.mark.parametrize("fence", [1, 2])
def test_a_run_that_is_being_ended_or_an_older_attempt_asks_nothing(fence):
    ws = Workspace().running()
    if fence == 1:
        ws.when(CancelRun(RUN))
    assert ws.when(AttemptAsked(RUN, fence, wait())) == []


def test_what_was_answered_stays_so_when_it_is_asked_again():
    ws = asking()
    ws.when(AnswerRun(RUN, ASKED, YES))
    [asked] = ws.when(AttemptAsked(RUN, 1, wait()))
    assert isinstance(asked, RunAsked)
    assert (ws.run.waits, ws.run.answers) == ((wait(),), ((ASKED, YES.digest),))


def test_what_is_over_or_long_past_is_asked_no_more():
    ws = Workspace().running()
    ws.when(AttemptAsked(RUN, 1, wait(b"brief", ws.now + timedelta(seconds=1))))
    ws.later(hours=1)
    for number in range(MOST_ASKED + 5):
        ws.when(AttemptAsked(RUN, 1, wait(b"%d" % number)))
    assert [w.call for w in ws.run.waits] == [b"%d" % n for n in range(5, MOST_ASKED + 5)]
