"""Runs that runs ask for: the end of a child answers its parent once, whenever either comes to the other."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.runtime.child_results import child_id as sdk_child_id
from headway.runtime.child_results import is_child_id as sdk_is_child_id
from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import (
    AnswerRun,
    AttemptBegan,
    AttemptOver,
    CancelRun,
    FireDeadline,
    GrantRun,
    LoseAttempt,
    OpenSession,
)
from headway_control_plane.domain.run.children import is_child_id
from headway_control_plane.domain.run.events import (
    OnLost,
    RunAnswered,
    RunCancelled,
    RunCompleted,
    RunResumed,
    RunSuspended,
    Waiting,
)
from headway_control_plane.domain.run.state import DeadlineKind
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from support.domain import OTHER_AGENT, OTHER_SESSION, REPLICA, RUN, SESSION, Workspace

CALLS = [hashlib.sha256(b"%d" % n).digest()[:16] for n in range(3)]
CHILDREN = [UUID(sdk_child_id(str(RUN), call.hex(), 1_790_000_000_000_000)) for call in CALLS]


def waits(*numbers: int, until=None) -> tuple[Waiting, ...]:
    return tuple(Waiting(CALLS[n], "run", "part", b"", until, b"", CHILDREN[n]) for n in numbers)


def suspended(*numbers: int, until=None, **spec) -> Workspace:
    ws = Workspace().running(**spec)
    ws.when(AttemptOver(RUN, 1, "suspended", waits=waits(*numbers, until=until)))
    return ws


def made(ws: Workspace, n: int) -> None:
    ws.created(CHILDREN[n], parent_run=RUN, parent_call=CALLS[n])
    ws.when(GrantRun(CHILDREN[n], SESSION, 1))
    ws.when(AttemptBegan(CHILDREN[n], 1))


def ended(ws: Workspace, n: int, outcome: str = "completed", **more) -> list[object]:
    return ws.when(AttemptOver(CHILDREN[n], 1, outcome, **more))


def told(event: object) -> dict:
    assert isinstance(event, RunAnswered)
    assert event.value.content is not None
    return json.loads(event.value.content)


def test_the_end_of_a_child_answers_who_waits_for_it():
    ws = suspended(0)
    assert (ws.run.status, ws.run.reason) == ("paused", "run")
    made(ws, 0)
    completed, answered = ended(ws, 0)
    assert isinstance(completed, RunCompleted)
    assert told(answered) == {
        "run": str(CHILDREN[0]), "name": "first", "state": "completed", "error_class": "", "fence": 1
    }  # fmt: skip
    assert ws.run.status == "scheduled"


def test_a_failed_child_says_so():
    ws = suspended(0)
    made(ws, 0)
    _, answered = ended(ws, 0, "failed", error_class="ValueError")
    assert (told(answered)["state"], told(answered)["error_class"]) == ("failed", "ValueError")


def test_a_cancelled_child_says_so():
    ws = suspended(0)
    ws.created(CHILDREN[0], parent_run=RUN, parent_call=CALLS[0])
    *_, cancelled, answered = ws.when(CancelRun(CHILDREN[0]))
    assert isinstance(cancelled, RunCancelled)
    assert told(answered)["state"] == "cancelled"


def test_an_end_before_the_parent_waits_is_found_when_it_does():
    ws = Workspace().running()
    made(ws, 0)
    assert len(ended(ws, 0)) == 1
    happened = ws.when(AttemptOver(RUN, 1, "suspended", waits=waits(0)))
    assert [type(event) for event in happened] == [RunSuspended, RunAnswered]
    assert told(happened[1])["state"] == "completed"
    assert ws.run.status == "scheduled"


def moved_to_another_agent(ws: Workspace) -> Waiting:
    """The parent's first attempt is lost, the second executes where its journal is not: what it waits for has a later name."""
    ws.when(OpenSession(OTHER_SESSION, OTHER_AGENT, REPLICA, "another", "1", 4))
    ws.when(LoseAttempt(RUN, 1))
    ws.later(minutes=2)
    ws.renewed(OTHER_SESSION)
    ws.when(GrantRun(RUN, OTHER_SESSION, 1))
    ws.when(AttemptBegan(RUN, 2))
    later = UUID(sdk_child_id(str(RUN), CALLS[0].hex(), 1_790_000_099_000_000))
    assert later != CHILDREN[0]
    return replace(waits(0)[0], run=later)


def test_an_end_before_the_parent_waits_is_found_from_another_agent():
    ws = Workspace().running()
    made(ws, 0)
    ended(ws, 0)
    wait = moved_to_another_agent(ws)
    suspended, answered = ws.when(AttemptOver(RUN, 2, "suspended", waits=(wait,)))
    assert told(answered)["run"] == str(CHILDREN[0])
    assert suspended.waits == waits(0)
    assert ws.run.status == "scheduled"


def test_a_wait_names_the_run_that_was_made():
    ws = Workspace().running()
    made(ws, 0)
    wait = moved_to_another_agent(ws)
    ws.when(AttemptOver(RUN, 2, "suspended", waits=(wait,)))
    assert ws.run.waits == waits(0)
    _, answered = ended(ws, 0)
    assert told(answered)["state"] == "completed"


def test_an_answer_that_comes_while_the_parent_runs_again_is_kept():
    ws = suspended(0, 1)
    made(ws, 0)
    made(ws, 1)
    ended(ws, 0)
    ws.later(minutes=2)
    ws.renewed()
    ws.when(FireDeadline(Stream(StreamKind.RUN, RUN), DeadlineKind.WAKE, ws.run.deadline.at))
    ws.when(GrantRun(RUN, SESSION, 1))
    _, answered = ended(ws, 1)
    assert isinstance(answered, RunAnswered)
    assert (ws.run.status, len(ws.run.answers)) == ("pending", 2)
    happened = ws.when(AttemptOver(RUN, 2, "suspended", waits=waits(1)))
    assert [type(event) for event in happened] == [RunSuspended, RunResumed]


def test_who_waits_for_several_is_not_woken_by_each():
    ws = suspended(0, 1, 2)
    for n in range(3):
        made(ws, n)
    ended(ws, 0)
    assert (ws.run.status, ws.run.deadline.kind) == ("paused", DeadlineKind.WAKE)
    first = ws.run.deadline.at
    assert ws.now < first <= ws.now + timedelta(seconds=2)
    ended(ws, 1)
    assert (ws.run.status, ws.run.deadline.at) == ("paused", first - timedelta(milliseconds=100))
    ended(ws, 2)
    assert (ws.run.status, len(ws.run.answers)) == ("scheduled", 3)


def test_several_that_ended_before_wake_the_parent_soon():
    ws = Workspace().running()
    for n in range(2):
        made(ws, n)
        ended(ws, n)
    ws.when(AttemptOver(RUN, 1, "suspended", waits=waits(0, 1, 2)))
    assert (ws.run.status, ws.run.deadline.kind) == ("paused", DeadlineKind.WAKE)
    [resumed] = ws.when(
        FireDeadline(Stream(StreamKind.RUN, RUN), DeadlineKind.WAKE, ws.run.deadline.at)
    ) or [None]
    assert resumed is None
    ws.later(seconds=2)
    ws.when(FireDeadline(Stream(StreamKind.RUN, RUN), DeadlineKind.WAKE, ws.run.deadline.at))
    assert (ws.run.status, len(ws.run.answers)) == ("scheduled", 2)


def test_a_held_parent_stays_held():
    ws = suspended(0, 1, on_lost=OnLost.HOLD)
    made(ws, 0)
    ended(ws, 0)
    ws.later(minutes=2)
    ws.renewed()
    ws.when(FireDeadline(Stream(StreamKind.RUN, RUN), DeadlineKind.WAKE, ws.run.deadline.at))
    ws.when(GrantRun(RUN, SESSION, 1))
    ws.when(LoseAttempt(RUN, 2))
    assert (ws.run.status, ws.run.reason) == ("paused", "lost")
    made(ws, 1)
    ended(ws, 1)
    assert (ws.run.status, ws.run.reason, len(ws.run.answers)) == ("paused", "lost", 2)
    assert ws.run.deadline.kind is DeadlineKind.HOLD


@pytest.mark.parametrize("end", ["cancelled", "over"])
def test_who_does_not_wait_any_more_is_not_answered(end):
    ws = suspended(0, until=None if end == "cancelled" else Workspace().now + timedelta(hours=1))
    made(ws, 0)
    if end == "cancelled":
        ws.when(CancelRun(RUN))
    else:
        ws.later(hours=2)
    assert len(ended(ws, 0)) == 1


def test_a_child_that_is_not_waited_for_answers_nobody():
    ws = Workspace().running()
    made(ws, 0)
    assert [type(event) for event in ended(ws, 0)] == [RunCompleted]


def test_a_refusal_answers_too():
    ws = suspended(0)
    ws.when(AnswerRun(RUN, CALLS[0], Blob.of(b'{"refused": {}}')))
    assert ws.run.status == "scheduled"


def test_a_child_ends_and_its_own_parent_hears_of_that():
    """Three generations: the end of the middle one is an end like any."""
    ws = suspended(0)
    made(ws, 0)
    ws.when(AttemptOver(CHILDREN[0], 1, "suspended", waits=(replace(waits(0)[0], run=None),)))
    events = ws.when(CancelRun(CHILDREN[0]))
    assert told(events[-1])["state"] == "cancelled"


@given(st.uuids(), st.binary(min_size=16, max_size=16), st.integers(0, 1 << 52))
def test_agent_and_control_plane_name_a_child_alike(parent, call, at_us):
    named = sdk_child_id(str(parent), call.hex(), at_us)
    assert is_child_id(UUID(named), parent, call)
    assert sdk_is_child_id(named, str(parent), call.hex())
    assert UUID(named).version == 7
    assert UUID(named).int >> 80 == at_us // 1000
    assert not is_child_id(UUID(named), parent, call[::-1] + b"x")


def test_the_answers_of_a_thousand_children_fit_into_the_message_that_assigns_their_parent():
    """Whatever an error's class is called; the limit of a message is 4 MiB."""
    ws = suspended(0)
    made(ws, 0)
    _, answered = ended(ws, 0, "failed", error_class="Long" * 1_000)
    assert isinstance(answered, RunAnswered)
    answer = pb.Answer(call=answered.call, value=answered.value.content)
    longest_name = 200 * 4  # bytes
    assert 1_000 * (answer.ByteSize() + longest_name) < 2 << 20
