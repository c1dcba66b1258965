"""What `headway up` decides about its parts, as a pure function: when each starts, restarts and stops.

`step(state, now, input)` returns the next state and the effects to carry out. Parts start in order, each once all
before it are ready; they stop in the opposite order. A part that dies is started again, later each time it dies soon.
"""

from dataclasses import dataclass, field, replace
from enum import Enum, auto


class Status(Enum):
    """Where a part stands."""

    WAITING = auto()  # for the parts before it, or for its pause to end
    STARTING = auto()
    READY = auto()
    STOPPING = auto()
    STOPPED = auto()


class Phase(Enum):
    """Where the whole stands."""

    STARTING = auto()
    SERVING = auto()
    DRAINING = auto()
    OVER = auto()


class Manner(Enum):
    """How a part is told to stop, from the gentlest to the last."""

    DRAIN = auto()
    TERMINATE = auto()
    KILL = auto()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds."""

    start: float = 60.0
    drain: float = 30.0
    terminate: float = 5.0
    stable: float = 30.0  # ready for so long: earlier deaths are forgotten
    first_pause: float = 0.25
    longest_pause: float = 15.0
    start_attempts: int = 3  # deaths before a part was ever ready


@dataclass(frozen=True, slots=True)
class Part:
    """One part; its place in the tuple is its place in the order."""

    name: str
    status: Status = Status.WAITING
    deaths: int = 0
    was_ready: bool = False
    deadline: float = 0.0  # WAITING: not before; STARTING, STOPPING: patience ends; READY: since
    manner: Manner = Manner.DRAIN


@dataclass(frozen=True, slots=True)
class State:
    """The whole: parts in starting order."""

    parts: tuple[Part, ...]
    patience: Patience = field(default_factory=Patience)
    phase: Phase = Phase.STARTING
    exit_code: int = 0


# Inputs


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


@dataclass(frozen=True, slots=True)
class BecameReady:
    """A part answers."""

    name: str


@dataclass(frozen=True, slots=True)
class Died:
    """A part's process ended, or could not be started; `how` is for people."""

    name: str
    how: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ctrl-C or TERM."""


Input = Tick | BecameReady | Died | Interrupted


# Effects


@dataclass(frozen=True, slots=True)
class Start:
    """Start the part's process and report BecameReady or Died."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the part to stop; its Died follows."""

    name: str
    manner: Manner


@dataclass(frozen=True, slots=True)
class AllReady:
    """Everything answers for the first time."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Say something about a part on the terminal."""

    name: str
    news: str


@dataclass(frozen=True, slots=True)
class Finish:
    """All parts are gone: leave with this exit code."""

    exit_code: int


Effect = Start | Stop | AllReady | Tell | Finish
Effects = tuple[Effect, ...]


def begin(names: tuple[str, ...], patience: Patience | None = None) -> State:
    """Return the state before anything was started; the first Tick starts the first part."""
    return State(tuple(Part(name) for name in names), patience or Patience())


def step(state: State, now: float, arrived: Input) -> tuple[State, Effects]:
    """Take one input and return what follows."""
    first: Effects = ()
    match arrived:
        case BecameReady(name):
            state, first = _on_ready(state, now, name)
        case Died(name, how):
            state, first = _on_death(state, now, name, how)
        case Interrupted():
            state, first = _on_interrupt(state, now)
        case Tick():
            pass
    state, timed = _on_time(state, now)
    state, then = _proceed(state, now)
    return state, (*first, *timed, *then)


def next_deadline(state: State) -> float | None:
    """Return when a Tick is due at the latest, None when only other inputs can move anything."""
    waiting_is_timed = state.phase in {Phase.STARTING, Phase.SERVING}
    timed = {Status.STARTING, Status.STOPPING} | ({Status.WAITING} if waiting_is_timed else set())
    deadlines = [
        p.deadline for i, p in enumerate(state.parts) if p.status in timed and _may_move(state, i)
    ]
    return min(deadlines, default=None)


def _may_move(state: State, index: int) -> bool:
    """A waiting part is held by the parts before it, not by time."""
    return state.parts[index].status is not Status.WAITING or _all_ready(state.parts[:index])


def _on_ready(state: State, now: float, name: str) -> tuple[State, Effects]:
    part = _find(state, name)
    if part.status is not Status.STARTING:
        return state, ()
    news = Tell(name, "is back" if part.was_ready else "is ready")
    return _put(state, replace(part, status=Status.READY, was_ready=True, deadline=now)), (news,)


def _on_death(state: State, now: float, name: str, how: str) -> tuple[State, Effects]:
    part = _find(state, name)
    if part.status in {Status.STOPPED, Status.WAITING}:
        return state, ()
    if state.phase is Phase.DRAINING:
        return _put(state, replace(part, status=Status.STOPPED)), ()
    settled = part.status is Status.READY and now - part.deadline >= state.patience.stable
    deaths = 1 if settled else part.deaths + 1
    if not part.was_ready and deaths >= state.patience.start_attempts:
        state = replace(
            _put(state, replace(part, status=Status.STOPPED)), phase=Phase.DRAINING, exit_code=1
        )
        return state, (Tell(name, f"{how}; it does not start"),)
    pause = min(state.patience.first_pause * 2 ** (deaths - 1), state.patience.longest_pause)
    waiting = replace(part, status=Status.WAITING, deaths=deaths, deadline=now + pause)
    return _put(state, waiting), (Tell(name, f"{how}; starting it again"),)


def _on_interrupt(state: State, now: float) -> tuple[State, Effects]:
    if state.phase in {Phase.STARTING, Phase.SERVING}:
        return replace(state, phase=Phase.DRAINING), ()
    effects: list[Effect] = []
    for part in reversed(state.parts):
        if part.status in {Status.STARTING, Status.READY, Status.STOPPING}:
            state = _put(state, _stopping(state, part, now, Manner.KILL))
            effects.append(Stop(part.name, Manner.KILL))
    return replace(state, exit_code=state.exit_code or 130), tuple(effects)


def _on_time(state: State, now: float) -> tuple[State, Effects]:
    """Lose patience with parts that take too long to start or to stop."""
    effects: list[Effect] = []
    for part in state.parts:
        if part.status not in {Status.STARTING, Status.STOPPING} or now < part.deadline:
            continue
        starting = part.status is Status.STARTING
        manner = Manner.TERMINATE if not starting and part.manner is Manner.DRAIN else Manner.KILL
        if starting:
            # It stays STARTING: its death counts as a failed start.
            state = _put(state, replace(part, deadline=now + state.patience.terminate))
            effects.append(Tell(part.name, "does not become ready"))
        else:
            state = _put(state, _stopping(state, part, now, manner))
        effects.append(Stop(part.name, manner))
    return state, tuple(effects)


def _proceed(state: State, now: float) -> tuple[State, Effects]:
    if state.phase is Phase.DRAINING:
        return _proceed_down(state, now)
    if state.phase is Phase.OVER:
        return state, ()
    return _proceed_up(state, now)


def _proceed_up(state: State, now: float) -> tuple[State, Effects]:
    effects: list[Effect] = []
    for index, part in enumerate(state.parts):
        if (
            part.status is Status.WAITING
            and now >= part.deadline
            and _all_ready(state.parts[:index])
        ):
            state = _put(
                state, replace(part, status=Status.STARTING, deadline=now + state.patience.start)
            )
            effects.append(Start(part.name))
    if state.phase is Phase.STARTING and _all_ready(state.parts):
        state = replace(state, phase=Phase.SERVING)
        effects.append(AllReady())
    return state, tuple(effects)


def _proceed_down(state: State, now: float) -> tuple[State, Effects]:
    """Stop the last part that still runs; what stands before it serves it until it is gone."""
    for part in reversed(state.parts):
        match part.status:
            case Status.WAITING:
                state = _put(state, replace(part, status=Status.STOPPED))
            case Status.STARTING | Status.READY:
                return _put(state, _stopping(state, part, now, Manner.DRAIN)), (
                    Stop(part.name, Manner.DRAIN),
                )
            case Status.STOPPING:
                return state, ()
            case Status.STOPPED:
                pass
    return replace(state, phase=Phase.OVER), (Finish(state.exit_code),)


def _stopping(state: State, part: Part, now: float, manner: Manner) -> Part:
    patience = state.patience.drain if manner is Manner.DRAIN else state.patience.terminate
    return replace(part, status=Status.STOPPING, manner=manner, deadline=now + patience)


def _all_ready(parts: tuple[Part, ...]) -> bool:
    return all(part.status is Status.READY for part in parts)


def _find(state: State, name: str) -> Part:
    return next(part for part in state.parts if part.name == name)


def _put(state: State, part: Part) -> State:
    return replace(state, parts=tuple(part if p.name == part.name else p for p in state.parts))
