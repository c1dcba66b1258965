"""What the rest of the agent asks of the runner. Runs are UUID strings, fences and seqs count from 1."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

AttemptState = Literal["assigned", "running", "exited", "closed"]
"""`assigned`: recorded, perhaps not started. `running`: a supervisor has it. `exited`: its last fact is in
the file. `closed`: all its facts are acknowledged, or the control plane wants none of them."""


class AttemptKey(NamedTuple):
    """Names one attempt."""

    run: str
    fence: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a wait of the run's last suspension. `over`: its time has come; else `value`, any JSON."""

    call: str
    over: bool = False
    value: Any = None


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run whose journal this one goes on with, and what of the journal up to here is cut: `call` and all in it, the
    calls `around` it themselves, and what began at `cut_at_us` or later (0: nothing for that reason).
    """

    run: str
    call: str = ""
    around: tuple[str, ...] = ()
    cut_at_us: int = 0


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A run that a call of this run has asked for, with what it wished for; or, without a `wish`, a call of a run that this one was made from."""

    call: str
    run: str
    wish: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A grant, as the control plane gave it."""

    key: AttemptKey
    run_name: str
    flow: str
    deployment: str
    environment: str
    entrypoint: str
    parameters: Mapping[str, Any]
    traceparent: str = ""
    cancel_grace_us: int = 5_000_000
    kill_grace_us: int = 5_000_000
    durable: Literal["group", "sync"] = "group"
    env: Mapping[str, str] = field(default_factory=dict)
    code_hash: str = ""
    answers: tuple[Answer, ...] = ()
    lineage: tuple[Ancestor, ...] = ()
    asked_runs: tuple[AskedRun, ...] = ()
    asked_runs_cut: bool = False
    unheard: bool = False
    at_home: bool = False
    isolation: Literal["process", "reuse"] = "process"
    max_runs_per_process: int = 1_000
    max_memory_mb: int = 1_024
    tags: tuple[str, ...] = ()
    due_at_us: int = 0
    run_url: str = ""
    flow_version: str = ""
    started_by: str = ""
    sets_variables: bool = False
    """The pool permits what it takes to set one."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One durable fact: `frame` is the JSON object as it lies in frames.log."""

    seq: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output: `content` is the JSON line as it lies in output.log, without its line end."""

    number: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that is not closed."""

    key: AttemptKey
    state: AttemptState
    alive: bool
    last_seq: int
    acked_seq: int
    last_line: int
    acked_line: int


Check = Callable[[], bool]


def never() -> bool:
    """For a check that there is nothing to check."""
    return False


class Attempts(Protocol):
    """The runner, seen from the session. Every call is safe to repeat."""

    def keep_variables(self, values: Mapping[str, Any]) -> None:
        """The workspace's variables, all of them: attempts that start from now on get them."""

    def keep_answer(self, key: AttemptKey, answer: Answer) -> None:
        """The answer to a wait for which the attempt keeps its process: on disk when this returns. Raises OSError."""

    async def start(self, assignment: Assignment, cancelled: Check = never) -> None:
        """Records the assignment durably, then starts it, unless it is `cancelled` by then: its cancel ends it unstarted. What can't be started is refused by a fact of its own
        (`attempt.exited`, outcome `refused`), so this raises for faults of the agent's own disk alone.
        """

    async def resume(self, key: AttemptKey) -> None:
        """The control plane confirmed a held attempt (Welcome): starts it if it was recorded and never started."""

    async def cancel(self, key: AttemptKey) -> bool:
        """Asks the supervisor to end the attempt; it escalates alone. False when nothing is alive."""

    async def kill(self, key: AttemptKey) -> bool:
        """Ends the attempt now. False when nothing is alive."""

    async def fenced(self, key: AttemptKey) -> None:
        """A newer grant exists, or the run is unknown: end the process now and report no more (state `closed`)."""

    def held(self) -> Sequence[Held]:
        """Every attempt that is not closed."""

    async def wait_for_facts(self) -> set[AttemptKey]:
        """Waits until attempts have something new (facts, lines, exit) and names them. For one waiter; whatever
        happened since the last call is reported at once, so nothing is missed.
        """

    async def facts(
        self, key: AttemptKey, after_seq: int, max_items: int = 256, max_bytes: int = 262_144
    ) -> list[Fact]:
        """Durable facts after a seq, in order; at least one if there is one, whatever its size."""

    async def lines(
        self, key: AttemptKey, after_line: int, max_items: int = 1_000, max_bytes: int = 262_144
    ) -> list[Line]:
        """Lines of output after a line, in order; at least one if there is one."""

    async def acked(self, key: AttemptKey, seq: int) -> None:
        """Facts up to `seq` are in the log. The attempt closes once that includes `attempt.exited`
        and every line is acknowledged too.
        """

    async def lines_acked(self, key: AttemptKey, line: int) -> None:
        """Lines up to `line` are stored (or shall not be sent: pass the last one)."""

    async def reopen(self) -> None:
        """The log may have lost what it acknowledged: everything whose files are still here is held again, unacknowledged."""

    async def forget(self, run: str) -> None:
        """The run is terminal: its directories go once they are old enough."""
