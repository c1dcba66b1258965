"""Random walks through a run's life: whatever arrives in whatever order, the table holds and the fold is the state."""

import random
from datetime import timedelta

import pytest

from headway_control_plane.domain.commands import (
    AnswerRun,
    AttemptBegan,
    AttemptOver,
    CancelRun,
    CloseSession,
    FireDeadline,
    GrantRun,
    LoseAttempt,
    LoseSession,
    OpenSession,
    ReattachAttempt,
    ReleaseRun,
    ResumeSession,
)
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.run.events import OnLost, RunGranted, Waiting
from headway_control_plane.domain.run.state import DeadlineKind
from headway_control_plane.domain.run.transitions import TRANSITIONS
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from support.domain import AGENT, OTHER_AGENT, OTHER_SESSION, REPLICA, RUN, SESSION, Workspace

CALLS = [b"first", b"second"]
STREAMS = [Stream(StreamKind.RUN, RUN), Stream(StreamKind.SESSION, SESSION)]


def some_waits(rng: random.Random, ws: Workspace):
    until = rng.choice([None, ws.now, ws.now + timedelta(seconds=50)])
    calls = rng.sample(CALLS, rng.randrange(3))
    return tuple(
        Waiting(call, rng.choice(["sleep", "input", "event"]), "w", b"", until, b"")
        for call in calls
    )


def some_command(rng: random.Random, ws: Workspace):
    fence = rng.choice([ws.run.fence, max(1, ws.run.fence - 1)])
    session = rng.choice([SESSION, OTHER_SESSION])
    outcome, cause = rng.choice(
        [
            ("completed", ""),
            ("failed", ""),
            ("crashed", "signal"),
            ("crashed", "exit"),
            ("cancelled", "cancelled"),
            ("refused", ""),
            ("suspended", ""),
        ]
    )
    return rng.choice(
        [
            lambda: GrantRun(RUN, session, 1),
            lambda: GrantRun(RUN, session, 1),
            lambda: AttemptBegan(RUN, fence),
            lambda: AttemptOver(RUN, fence, outcome, cause, waits=some_waits(rng, ws)),
            lambda: LoseAttempt(RUN, fence),
            lambda: CancelRun(RUN),
            lambda: ReleaseRun(RUN, anywhere=rng.random() < 0.5),
            lambda: AnswerRun(RUN, rng.choice(CALLS), Blob.of(b"1")),
            lambda: ReattachAttempt(RUN, fence, session),
            lambda: LoseSession(session),
            lambda: ResumeSession(session, REPLICA, rng.randrange(4)),
            lambda: CloseSession(session, "goodbye", rng.random() < 0.5),
            lambda: OpenSession(session, rng.choice([AGENT, OTHER_AGENT]), REPLICA, "h", "1", 2),
            lambda: FireDeadline(rng.choice(STREAMS), rng.choice(list(DeadlineKind)), ws.now),
        ]
    )()


@pytest.mark.parametrize("seed", range(300))
def test_any_order_of_commands_keeps_the_rules(seed):
    rng = random.Random(seed)
    ws = Workspace().ready(retries=rng.randrange(3), on_lost=rng.choice(list(OnLost)))
    ws.created()
    times = [ws.now] * len(ws.log)
    for _ in range(60):
        ws.later(seconds=rng.choice([0, 1, 20, 100]))
        was_terminal, fence = ws.run.is_terminal, ws.run.fence
        try:
            events = ws.when(some_command(rng, ws))
        except Refused:
            continue  # a refusal is an answer; IllegalTransition would be a defect and is not caught
        times += [ws.now] * len(events)
        assert not (
            was_terminal and any(type(e).__module__.endswith("run.events") for e in events)
        ), "terminal is terminal"
        assert ws.run.fence - fence == sum(isinstance(e, RunGranted) for e in events), (
            "only a grant raises the fence"
        )
        open_attempts = [
            a
            for f in range(1, ws.run.fence + 1)
            if (a := ws.states.attempt(RUN, f)) is not None and a.is_open
        ]
        assert len(open_attempts) <= 1
        assert bool(open_attempts) == (ws.run.session is not None)
        assert not (ws.run.is_terminal and open_attempts)
        pool = ws.states.pool(ws.run.pool)
        assert pool.slots_taken == len(open_attempts), "slots are the open attempts"

    replayed = States(shard_epoch=1)
    for decided, at in zip(ws.log, times, strict=True):
        replayed.evolve(decided, at, ws.policy)
    assert replayed.run(RUN) == ws.run, "the state is the fold of its events"
    assert ws.now - times[0] >= timedelta(0)


def test_terminal_states_lead_nowhere():
    for status, moves in TRANSITIONS.items():
        assert (moves == {}) == (
            status is not None and status.value in {"completed", "failed", "crashed", "cancelled"}
        )
