"""What the supervisor decides, without clock or kernel: when a start is worth a fact, how hard to cancel, how it ended."""

import signal
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

HOLD = 0.05
_MOST_HELD = 10_000

CancelEvent = Literal["asked", "kill", "tick"]
Target = Literal["process", "group", "tree"]


class HeldStarts:
    """Keeps `call.started` back for a moment: most calls end meanwhile, and their end says it all."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, str, bytes]] = {}

    def pass_on(self, now: float, frame: dict[str, Any], raw: bytes) -> list[bytes]:
        """The facts to write now that this one has come, in order."""
        kind, call, parent = frame["type"], str(frame.get("call", "")), str(frame.get("parent", ""))
        if kind == "call.started":
            self._held[call] = (now + HOLD, parent, raw)
            return self._release_first() if len(self._held) > _MOST_HELD else []
        if kind == "call.ended":
            self._held.pop(call, None)
            return [*self._release(parent), raw]
        if kind == "call.retrying":
            return [*self._release(call), raw]
        # The beginning or the end of the attempt: whatever was held comes before it.
        return [*self.release_all(), raw]

    def holds(self, call: str) -> bool:
        """Whether nothing was told of the call yet, nor of any call in it."""
        return call in self._held

    def due(self, now: float) -> list[bytes]:
        """The starts whose calls did not end in time."""
        out: list[bytes] = []
        while self._held and (deadline := self.deadline()) is not None and deadline <= now:
            out += self._release_first()
        return out

    def deadline(self) -> float | None:
        return next(iter(self._held.values()))[0] if self._held else None

    def release_all(self) -> list[bytes]:
        out = [raw for _, _, raw in self._held.values()]
        self._held.clear()
        return out

    def _release_first(self) -> list[bytes]:
        return self._release(next(iter(self._held)))

    def _release(self, call: str) -> list[bytes]:
        """The call's start, if it is held, behind those of the calls around it."""
        out: list[bytes] = []
        while (entry := self._held.pop(call, None)) is not None:
            out.append(entry[2])
            call = entry[1]
        return out[::-1]


class Signal(NamedTuple):
    """An effect: this signal to the flow process, to its group, or to every descendant."""

    number: int
    target: Target


@dataclass(frozen=True, slots=True)
class Cancelling:
    """How far a cancel has gone. Steps: 0 not asked, 1 cooperative, 2 terminating, 3 killing."""

    grace: float
    kill_grace: float
    step: int = 0
    next_at: float | None = None

    @property
    def asked(self) -> bool:
        return self.step > 0

    @property
    def killing(self) -> bool:
        return self.step == 3


KILL_AGAIN = 1.0


def cancel_step(
    state: Cancelling, now: float, event: CancelEvent
) -> tuple[Cancelling, tuple[Signal, ...]]:
    """The next state and the signals to send. `asked` again goes to the next step at once, `kill` to the last."""
    if event == "tick" and (state.next_at is None or now < state.next_at):
        return state, ()
    if state.step == 0 and event != "kill":
        return _at(state, 1, now + state.grace), (Signal(signal.SIGUSR1, "process"),)
    if state.step == 1 and event != "kill":
        return _at(state, 2, now + state.kill_grace), (Signal(signal.SIGTERM, "group"),)
    # A process that forks while it is being killed needs another round.
    return _at(state, 3, now + KILL_AGAIN), (
        Signal(signal.SIGKILL, "group"),
        Signal(signal.SIGKILL, "tree"),
    )


def _at(state: Cancelling, step: int, next_at: float) -> Cancelling:
    return Cancelling(state.grace, state.kill_grace, step, next_at)


class Exit(NamedTuple):
    """How the attempt ended, as `attempt.exited` tells it."""

    outcome: str
    cause: str


TIMED_OUT = "timed out"


def ending(wait_code: int) -> str:
    """How a process ended, in words: `with exit code 3`, `by signal 9 (SIGKILL)`."""
    if wait_code >= 0:
        return f"with exit code {wait_code}"
    try:
        return f"by signal {-wait_code} ({signal.Signals(-wait_code).name})"
    except ValueError:
        return f"by signal {-wait_code}"


def decide_exit(
    ended: str | None, wait_code: int, cancel: Cancelling, *, timed_out: bool = False
) -> Exit:
    """`ended`: the outcome that `attempt.ended` named, if there was one; `wait_code`: exit code, or minus the signal.

    `timed_out`: the cancel was not asked for, the attempt's time was up.
    """
    if ended == "completed" and (wait_code == 0 or cancel.asked):
        return Exit(
            "completed", ""
        )  # it had its result before it was stopped in whatever came after
    if timed_out:
        return Exit("failed", TIMED_OUT)
    if ended is not None and wait_code == 0:
        return Exit(ended, "cancelled" if ended == "cancelled" else "")
    if cancel.asked and ended != "completed":
        return Exit("cancelled", "killed" if cancel.killing else "cancelled")
    return Exit("crashed", "signal" if wait_code < 0 else "exit")
