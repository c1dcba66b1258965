"""Why a run is where it is: one computed reason, with the same words in UI, command line and API."""

from dataclasses import dataclass
from datetime import datetime

from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.run.waits import is_over
from headway_control_plane.domain.session.state import SessionStatus


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the reason is computed from: the run's row, its open wait, the session of its newest attempt."""

    status: RunStatus
    reason: str
    due_at: datetime
    wait_reason: str = ""
    wait_object: str = ""
    pool: str = ""
    agent: str = ""
    session: SessionStatus | None = None
    error_class: str = ""
    home: str = ""
    waits: tuple[Waiting, ...] = ()
    answered: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Reason:
    """`code` for programs, `object` what it is about, `text` for people."""

    code: str
    object: str
    text: str


def reason_of(at: Circumstances, now: datetime) -> Reason:
    """Compute the reason. Only a completed run needs none."""
    match at.status:
        case RunStatus.SCHEDULED:
            return _waiting(at, now)
        case RunStatus.PENDING | RunStatus.RUNNING:
            return _held(at, now)
        case RunStatus.PAUSED:
            return _paused(at)
        case RunStatus.CANCELLING:
            return _cancelling(at)
        case RunStatus.COMPLETED:
            return Reason("", "", "")
        case RunStatus.FAILED:
            return _failed(at)
        case RunStatus.CRASHED:
            return Reason("process died", at.reason, f"process died ({at.reason})")
        case RunStatus.CANCELLED:
            return Reason(at.reason, "", _EVIDENCE.get(at.reason, at.reason))


_EVIDENCE = {
    "never started": "cancelled before it started",
    "no attempt open": "cancelled while it waited",
    "death seen": "cancelled, its process has ended",
    "death unconfirmed": "cancelled, its agent did not confirm the end of the process",
}


def _waiting(at: Circumstances, now: datetime) -> Reason:
    again = _AGAIN.get(at.reason, "")
    if at.due_at > now:
        due = at.due_at.isoformat()
        if at.reason == "retry":
            return Reason("retry", due, f"retry at {_clock(at.due_at)}")
        return Reason("not due", due, f"due at {_clock(at.due_at)}")
    match at.wait_reason:
        case "no agent":
            text = f'no agent is connected to pool "{at.wait_object}"'
        case "pool at its limit":
            text = f'pool "{at.pool}" runs as many as it may ({_counts(at.wait_object)})'
        case "agents are draining":
            text = f'all agents of pool "{at.wait_object}" are draining'
        case "no free slot":
            text = f'waits for a free slot in pool "{at.pool}" ({_counts(at.wait_object)})'
        case "agent away":
            text = f'its journal is with agent "{at.home}", which is not connected'
            return Reason("agent away", at.home, text)
        case "" | "not due":
            text = "about to be given to an agent"
            return Reason(at.reason or "ready", at.pool, f"{again}: {text}" if again else text)
        case other:
            text = f"{other} {at.wait_object}".strip()
    return Reason(at.wait_reason, at.wait_object, f"{again}: {text}" if again else text)


_AGAIN = {"retry": "retry", "lost": "its agent was lost, runs again"}


def _held(at: Circumstances, now: datetime) -> Reason:
    if at.session is SessionStatus.LOST:
        text = f'agent "{at.agent}" is out of reach; the run goes on there if it can'
        return Reason("disconnected", at.agent, text)
    if at.status is RunStatus.PENDING:
        return Reason("starting", at.agent, f'starting on agent "{at.agent}"')
    if at.reason == "input" and (asked := _asked(at, now)):
        names = ", ".join(dict.fromkeys(wait.name for wait in asked if wait.name))
        told = f"asks a person: {names}" if names else "asks a person"
        return Reason("input", names, f'{told}; its process waits on agent "{at.agent}"')
    return Reason("executing", at.agent, f'on agent "{at.agent}"')


def _asked(at: Circumstances, now: datetime) -> list[Waiting]:
    """What can be answered now."""
    return [
        wait
        for wait in at.waits
        if wait.kind == "input" and wait.call not in at.answered and not is_over(wait, now)
    ]


def _paused(at: Circumstances) -> Reason:
    if at.reason == "lost":
        text = "its agent was lost and on_lost is hold: release or cancel it"
        return Reason("lost", at.agent, text)
    if at.reason == "died":
        text = "its process died and on_lost is hold: release or cancel it"
        return Reason("died", at.agent, text)
    if at.reason == "suspended":
        return Reason(
            "suspended", "", "suspended, and its agent could not say for what: release or cancel it"
        )
    if at.reason == "sleeping":
        until = min((wait.until for wait in at.waits if wait.until), default=None)
        told = f"sleeps until {_clock(until)}" if until else "sleeps"
        return Reason("sleeping", until.isoformat() if until else "", told)
    if at.reason in {"input", "event"}:
        names = ", ".join(dict.fromkeys(w.name for w in at.waits if w.kind == at.reason and w.name))
        told = "waits for an answer" if at.reason == "input" else "waits for an event"
        return Reason(at.reason, names, f"{told}: {names}" if names else told)
    if at.reason == "run":
        names = ", ".join(dict.fromkeys(w.name for w in at.waits if w.kind == "run" and w.name))
        count = sum(wait.kind == "run" for wait in at.waits)
        told = "waits for a run" if count == 1 else f"waits for {count:,} runs"
        return Reason("run", names, f"{told} of {names}" if names else told)
    return Reason(at.reason, "", at.reason)


def _cancelling(at: Circumstances) -> Reason:
    if at.session is SessionStatus.LOST:
        return Reason(
            "disconnected", at.agent, f'agent "{at.agent}" must end it and is out of reach'
        )
    text = f'agent "{at.agent}" is ending it' if at.agent else "being ended"
    return Reason("cancel requested", at.reason, f"{text} ({at.reason})" if at.reason else text)


def _failed(at: Circumstances) -> Reason:
    match at.reason:
        case "":
            return Reason("error", at.error_class, at.error_class or "the flow raised an error")
        case "refused":
            text = f"the agent refused to execute it ({at.error_class or 'entry point or environment'})"
            return Reason("refused", at.error_class, text)
        case "lost":
            return Reason("lost", at.agent, "its agent was lost and on_lost is fail")
        case other:
            return Reason(other, at.error_class, other)


def _counts(wait_object: str) -> str:
    """Return the `held/slots` behind the pool's name."""
    return wait_object.rpartition(" ")[2]


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
