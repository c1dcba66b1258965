"""A loop is woken when something changed for it, and left alone otherwise: to wake it costs more than the step that says so."""

import asyncio
import random
from types import SimpleNamespace
from uuid import uuid4

import pytest

from headway_agent.connection.messages import Introduction
from headway_agent.core import lines, resume, session
from headway_agent.core.cancel import Running
from headway_agent.core.session import Rules
from headway_agent.loops.hub import Hub
from support.fake_runner import FakeRunner

RUN = ("00000000-0000-0000-0000-000000000001", 1)


class Wakes:
    """A hub that is connected and holds an attempt; which loops were woken since the last question."""

    def __init__(self) -> None:
        self.now = 100.0
        self.runner = FakeRunner()
        self.attempt = self.runner.holds(*RUN)
        clock = SimpleNamespace(boottime=lambda: self.now)
        who = Introduction(uuid4(), "0.1.0", "host")
        self.hub = hub = Hub(Rules(4), who, self.runner, clock, random.Random(1))
        hub.tell_session(session.Tick())
        hub.look()
        hub.tell_reporting(resume.Welcomed(100, 10_000, ()))
        hub.tell_lines(lines.Welcomed(permitted=True, stored={}))
        hub.tell_session(session.Welcomed(self.now, 30, 10))
        hub.look()
        self.woken()

    def woken(self) -> set[str]:
        events: dict[str, asyncio.Event] = {
            "time": self.hub.time_changed,
            "report": self.hub.report_wake,
            "lines": self.hub.lines_wake,
        }
        found = {name for name, event in events.items() if event.is_set()}
        for event in events.values():
            event.clear()
        return found


@pytest.fixture
async def wakes() -> Wakes:
    return Wakes()


async def test_a_look_without_news_wakes_nobody_and_changes_nothing(wakes: Wakes) -> None:
    hub = wakes.hub
    before = (hub.session, hub.reporting, hub.lines, hub.cancels)
    hub.look()
    assert wakes.woken() == set()
    after = (hub.session, hub.reporting, hub.lines, hub.cancels)
    assert all(one is other for one, other in zip(before, after, strict=True))


async def test_facts_wake_those_who_send_and_not_the_clock(wakes: Wakes) -> None:
    wakes.runner.write(wakes.attempt, {"type": "attempt.started"})
    wakes.hub.look()
    assert wakes.woken() == {"report", "lines"}


async def test_an_answer_wakes_those_who_wait_for_room(wakes: Wakes) -> None:
    wakes.runner.write(wakes.attempt, {"type": "attempt.started"})
    wakes.hub.look()
    wakes.hub.tell_reporting(resume.Sent((resume.Span(RUN, 1, 1),), 100, resend=False))
    wakes.woken()
    answer = resume.Answer(RUN, resume.Verdict.OK, 1)
    wakes.hub.tell_reporting(resume.Acked(1, (answer,)))
    assert wakes.woken() == {"report", "lines"}
    wakes.hub.tell_reporting(resume.Acked(1, (answer,)))
    assert wakes.woken() == set()


async def test_the_clock_is_told_when_its_next_moment_moves(wakes: Wakes) -> None:
    hub = wakes.hub
    due = hub.due_at()
    assert due is not None
    wakes.now = due
    hub.tell_session(session.Tick())  # asks for the renewal: the next moment is another one
    assert wakes.woken() == {"time"}
    hub.tell_session(session.Renewed(1, 30, 10))
    wakes.woken()
    hub.tell_session(session.MoveAsked(0.5))
    assert (wakes.woken(), hub.due_at()) == ({"time"}, wakes.now + 0.5)


async def test_a_cancel_is_on_the_clock_until_its_process_is_gone(wakes: Wakes) -> None:
    hub = wakes.hub
    hub._graces[RUN] = -9.5
    before = hub.due_at()
    hub.cancel_asked(RUN, "asked")
    assert (wakes.woken(), hub.due_at()) == ({"time"}, wakes.now + 0.5)
    hub.tell_cancels(Running(frozenset({RUN})))
    assert wakes.woken() == set()
    hub.tell_cancels(Running(frozenset()))
    assert (wakes.woken(), hub.due_at()) == ({"time"}, before)
