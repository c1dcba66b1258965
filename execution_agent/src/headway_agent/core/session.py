"""The life of the agent's connection: when to dial, what to say, which grants to take.

`step` is the whole of it. The loops feed it inputs and carry its effects out; it sees no socket and no clock.
Running work is none of its business: a lost stream or lease stops nothing that runs, it only stops new work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import assert_never

from headway_agent.core import backoff, lease
from headway_agent.core.attempt import Attempt
from headway_agent.core.backoff import Backoff, Policy
from headway_agent.core.lease import Lease


class Phase(Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change while the agent lives."""

    slots: int
    policy: Policy = field(default_factory=Policy)
    # Longest wait for Welcome after a dial.
    dial_timeout: float = 10.0
    # A drain without --drain-wait gives facts and lines on disk this long to reach the log; they survive there anyway.
    flush_timeout: float = 3.0


@dataclass(frozen=True, slots=True)
class Session:
    rules: Rules
    phase: Phase = Phase.WAITING
    # WAITING: when to dial. CONNECTING: when to give up.
    at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    lease: Lease = field(default_factory=Lease)
    # Attempts whose files are not wholly acknowledged, and those of them that hold a process.
    held: frozenset[Attempt] = frozenset()
    running: frozenset[Attempt] = frozenset()
    # Everything durable is acknowledged.
    flushed: bool = True
    # Granted, and waiting for a trusted lease or a free slot; in order.
    deferred: tuple[Attempt, ...] = ()
    # Highest fence seen of each run that is held or deferred.
    fences: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    draining: bool = False
    drain_wait: bool = False
    # When a drain stops waiting for acknowledgements.
    flush_until: float = float("inf")
    # The control plane asked us to move over at this moment.
    move_at: float | None = None
    # The stream was given up because of that: the next dial needs no backoff, the moment was its pacing.
    moving: bool = False


# Inputs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Welcomed:
    """Welcome arrived; `sent_at` is when its Hello left."""

    sent_at: float
    ttl: float
    interval: float


@dataclass(frozen=True, slots=True)
class Renewed:
    id: int
    ttl: float
    interval: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The dial failed or the stream ended. `fraction` is random in [0, 1). `over`: so did the session, and its lease."""

    fraction: float
    retry_after: float | None = None
    over: bool = False


@dataclass(frozen=True, slots=True)
class Assigned:
    """A grant arrived."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Holding:
    """What the runner holds now."""

    held: frozenset[Attempt]
    running: frozenset[Attempt]
    # Whether everything durable is acknowledged.
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """The control plane wants us to reconnect after so many seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """The operator wants the agent to end: at once with what runs handed over, or after it (`wait`)."""

    wait: bool


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The operator wants the agent to end now."""


Input = Tick | Welcomed | Renewed | Lost | Assigned | Holding | MoveAsked | DrainAsked | StopAsked


# Effects ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a stream and send Hello."""


@dataclass(frozen=True, slots=True)
class Close:
    """Give the stream or dial up. The answer is `Lost`."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendRenew:
    id: int


@dataclass(frozen=True, slots=True)
class SendSlots:
    slots: int


@dataclass(frozen=True, slots=True)
class SendGoodbye:
    reason: str
    handover: bool


@dataclass(frozen=True, slots=True)
class Start:
    """Give the grant to the runner."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Ignore:
    """The grant is not taken."""

    attempt: Attempt
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing is left to do: the process ends."""

    reason: str


Effect = Dial | Close | SendRenew | SendSlots | SendGoodbye | Start | Ignore | End
Effects = tuple[Effect, ...]


def open_slots(state: Session) -> int:
    """What the control plane may count on."""
    return 0 if state.draining else state.rules.slots


def wake_at(state: Session) -> float | None:
    """When `Tick` is due next."""
    if state.phase is Phase.ENDED:
        return None
    candidates: list[float | None] = [state.at]
    if state.phase is Phase.OPEN:
        candidates = [state.lease.next_at, lease.silent_at(state.lease), state.move_at]
    if state.draining and not state.drain_wait:
        candidates.append(state.flush_until)
    return min(at for at in candidates if at is not None)


def step(state: Session, now: float, given: Input) -> tuple[Session, Effects]:
    if state.phase is Phase.ENDED:
        return state, ()
    match given:
        case Tick():
            return _tick(state, now)
        case Welcomed():
            return _welcomed(state, now, given)
        case Renewed():
            renewed = lease.renewed(state.lease, given.id, given.ttl, given.interval)
            return _take(replace(state, lease=renewed), now)
        case Lost():
            return _lost(state, now, given)
        case Assigned():
            return _assigned(state, now, given.attempt)
        case Holding():
            return _holding(state, now, given)
        case MoveAsked():
            return replace(state, move_at=now + given.after), ()
        case DrainAsked() | StopAsked():
            return _operator(state, now, given)
        case _:
            assert_never(given)


def _operator(state: Session, now: float, given: DrainAsked | StopAsked) -> tuple[Session, Effects]:
    if isinstance(given, DrainAsked):
        return _drain(state, now, wait=given.wait)
    return _end(state, "stopped")


def _tick(state: Session, now: float) -> tuple[Session, Effects]:
    if _drained(state, now):
        return _end(state, "drained")
    match state.phase:
        case Phase.WAITING if now >= state.at:
            at = now + state.rules.dial_timeout
            return replace(state, phase=Phase.CONNECTING, at=at), (Dial(),)
        case Phase.CONNECTING if now >= state.at:
            # Push the deadline on: the answer, Lost, is on its way.
            later = replace(state, at=now + state.rules.dial_timeout)
            return later, (Close("no Welcome in time"),)
        case Phase.OPEN:
            return _tick_open(state, now)
        case _:
            return state, ()


def _tick_open(state: Session, now: float) -> tuple[Session, Effects]:
    silent = lease.silent_at(state.lease)
    if silent is not None and now >= silent:
        # Forget the question, so that one silence closes one stream.
        return replace(state, lease=lease.lost(state.lease)), (
            Close("the control plane does not answer"),
        )
    if state.move_at is not None and now >= state.move_at:
        moving = replace(state, move_at=None, moving=True)
        return moving, (Close("the control plane asked us to reconnect"),)
    if now >= state.lease.next_at:
        renewing, number = lease.asked(state.lease, now)
        return replace(state, lease=renewing), (SendRenew(number),)
    return state, ()


def _welcomed(state: Session, now: float, given: Welcomed) -> tuple[Session, Effects]:
    if state.phase is not Phase.CONNECTING:
        return state, ()
    opened = replace(
        state,
        phase=Phase.OPEN,
        move_at=None,
        backoff=backoff.opened(state.backoff, now),
        lease=lease.welcomed(state.lease, given.sent_at, given.ttl, given.interval),
    )
    opened, effects = _take(opened, now)
    # Hello tells the slots; a drain that began between Hello and Welcome must be told apart.
    return opened, (*((SendSlots(0),) if state.draining else ()), *effects)


def _lost(state: Session, now: float, given: Lost) -> tuple[Session, Effects]:
    failures, wait = state.backoff, 0.0
    if not state.moving:
        failures = backoff.failed(state.backoff, now, state.rules.policy)
        wait = backoff.delay(failures, state.rules.policy, given.fraction, given.retry_after)
    return replace(
        state,
        phase=Phase.WAITING,
        at=now + wait,
        backoff=failures,
        lease=Lease() if given.over else lease.lost(state.lease),
        move_at=None,
        moving=False,
        # What was granted and not begun comes again after the next Welcome, if it is still ours.
        deferred=(),
    ), ()


def _assigned(state: Session, now: float, attempt: Attempt) -> tuple[Session, Effects]:
    run, fence = attempt
    if attempt in state.held or attempt in state.deferred:
        return state, (Ignore(attempt, "it is known"),)
    if state.fences.get(run, 0) > fence:
        return state, (Ignore(attempt, "a newer attempt of its run is here"),)
    if state.phase is not Phase.OPEN:
        return state, (Ignore(attempt, "the stream that brought it is gone"),)
    # One that crossed our Slots(0) is executed all the same: the control plane counts on it.
    fences = MappingProxyType({**state.fences, run: fence})
    return _take(replace(state, deferred=(*state.deferred, attempt), fences=fences), now)


def _holding(state: Session, now: float, given: Holding) -> tuple[Session, Effects]:
    runs: dict[str, int] = {}
    for run, fence in (*given.held, *state.deferred):
        runs[run] = max(fence, runs.get(run, 0))
    before = (state.held, state.running, state.flushed, state.fences)
    if before != (given.held, given.running, given.flushed, runs):
        state = replace(
            state,
            held=given.held,
            running=given.running,
            flushed=given.flushed,
            fences=MappingProxyType(runs),
        )
    if _drained(state, now):
        return _end(state, "drained")
    return _take(state, now)


def _take(state: Session, now: float) -> tuple[Session, Effects]:
    """Starts what waits, as far as the lease is trusted and slots are free."""
    if not lease.trusted(state.lease, now):
        return state, ()
    room = max(state.rules.slots - len(state.running), 0)
    taken, left = state.deferred[:room], state.deferred[room:]
    if not taken:
        return state, ()
    return replace(
        state,
        deferred=left,
        held=state.held | frozenset(taken),
        running=state.running | frozenset(taken),
    ), tuple(Start(attempt) for attempt in taken)


def _drain(state: Session, now: float, *, wait: bool) -> tuple[Session, Effects]:
    if state.draining:
        return state, ()
    state = replace(
        state, draining=True, drain_wait=wait, flush_until=now + state.rules.flush_timeout
    )
    if _drained(state, now):
        return _end(state, "drained")
    return state, ((SendSlots(0),) if state.phase is Phase.OPEN else ())


def _drained(state: Session, now: float) -> bool:
    """A waiting drain ends with the last acknowledged attempt. The other one leaves running attempts to their
    supervisors: it only lets what is durable reach the log, and not for long.
    """
    if not state.draining:
        return False
    if state.drain_wait:
        return not state.held and not state.deferred
    can_flush = state.phase is Phase.OPEN and not state.flushed
    return not can_flush or now >= state.flush_until


def _end(state: Session, reason: str) -> tuple[Session, Effects]:
    ended = replace(state, phase=Phase.ENDED, deferred=())
    if state.phase is Phase.WAITING:
        return ended, (End(reason),)
    # While CONNECTING too: Hello may have arrived, and a session without Goodbye is missed until its lease ends.
    return ended, (SendGoodbye(reason, handover=bool(state.held)), End(reason))
