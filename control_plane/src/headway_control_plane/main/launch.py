"""How a part of `headway up` is started: what to run, how it says that it serves, how it is told to stop."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a process.

    Attributes:
        command: Makes the command line from two descriptors that the process inherits: its lifeline, a pipe whose end
            means "drain", and the pipe on which it writes a line once it serves.
        log: File that takes what the process prints.
        environment: The process's whole environment; None passes ours on.
        lifeline_is_stdin: The lifeline is the process's standard input.
        is_ready: Asked again and again instead of waiting for the line, for a process that does not write one.
        ask_every: Seconds between two questions.
        kill_signal: The signal for "stop now".
    """

    command: Callable[[int, int], Sequence[str]]
    log: Path
    environment: Mapping[str, str] | None = None
    lifeline_is_stdin: bool = False
    is_ready: Callable[[], Awaitable[bool]] | None = None
    ask_every: float = 0.02
    kill_signal: int = signal.SIGKILL


async def _nothing_more() -> None:
    """Most parts have nothing to do once they serve."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part by name. `prepare` runs before each start and may fail; `settle` runs each time the part serves."""

    name: str
    prepare: Callable[[], Awaitable[Launch]]
    settle: Callable[[], Awaitable[None]] = _nothing_more


class CannotPrepare(Exception):
    """A part cannot be started now; the message says why, and what to do if waiting does not help."""
