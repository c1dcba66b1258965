"""Where the bodies of submitted calls run: threads of the flow's process, processes beside it, or anywhere by an adapter.

The engine keeps what is its own (identity, journal, retries, facts) in the flow's process; a runner is handed the body
of one try and gives its outcome. So an adapter for a cluster needs no more than the protocol here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from headway.errors import InvalidOption
from headway.options import positive

THREADS_MAX = 32


class Work(NamedTuple):
    """The body of one try of one call."""

    fn: Callable[..., Any]
    """A task (picklable by name); called where no run is, it is the plain function."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    call: str
    """Journal key of the call."""
    name: str
    try_number: int
    log_prints: bool
    """`print` is to log."""


class Handle(Protocol):
    """Work that was handed over."""

    def wait(self, timeout: float | None) -> bool:
        """Waits up to `timeout` seconds; whether the work has ended."""

    def result(self) -> Any:
        """Of ended work: the value, or raises what the work raised."""

    def cancel(self, *, force: bool) -> None:
        """Asks the work to stop, or with `force` stops it whatever it does; then it has ended. Any thread may call it."""


class Session(Protocol):
    """A runner in use by one run."""

    def submit(self, work: Work) -> Handle:
        """Hands work over; at most `max_workers` are under way at a time. Any thread may call it."""

    def close(self) -> None:
        """Stops whatever is left. The run is over."""


class TaskRunner(Protocol):
    """Says where submitted sync tasks run. A plain value: it starts nothing until a run opens it."""

    @property
    def max_workers(self) -> int:
        """How many calls are under way at a time, at most."""

    def open(self) -> Session | None:
        """Called once a run, in the flow's process, before the first line of the flow. None: the engine's own threads."""


class _Sized:
    """A runner that is told by its number of workers."""

    __slots__ = ("max_workers",)

    def __init__(self, max_workers: int) -> None:
        self.max_workers = positive("max_workers", max_workers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


class ThreadRunner(_Sized):
    """The default: threads of the flow's process. Good for work that waits; Python code in threads shares one core."""

    __slots__ = ()

    def __init__(self, max_workers: int = THREADS_MAX) -> None:
        """At most `max_workers` calls at a time. InvalidOption unless that is at least 1."""
        super().__init__(max_workers)

    def open(self) -> Session | None:
        return None


class AsyncRunner(_Sized):
    """Bounds how many async tasks are under way at a time, and gives those that sync code submits one common loop.

    For thousands of calls that wait, of which a server shall see a hundred at once. What is submitted from async code runs
    on that code's loop, as ever; tasks that a bounded task submits are not counted again. Sync tasks run in threads.
    """

    __slots__ = ()

    def __init__(self, max_workers: int = 100) -> None:
        """At most `max_workers` calls at a time. InvalidOption unless that is at least 1."""
        super().__init__(max_workers)

    def open(self) -> Session | None:
        return None


class ProcessRunner(_Sized):
    """Processes beside the flow's, on the same machine. For work in Python code, and for work that must be stoppable.

    Sync tasks that are submitted or mapped run there; async ones stay on their loop. Arguments and results are pickled
    between the processes, and a task must be importable by name. A call that exceeds its `timeout` has its process
    killed, whatever it is doing; a process that dies fails its call with `WorkerDied`, which retries count as any error.
    What a task calls in there is recorded as everywhere.
    """

    __slots__ = ()

    def __init__(self, max_workers: int | None = None) -> None:
        """At most `max_workers` processes; by default one for each core. InvalidOption unless that is at least 1."""
        super().__init__(_cores() if max_workers is None else max_workers)

    def open(self) -> Session | None:
        """Starts the process that will fork the others. AssertionError outside a run."""
        from headway.runtime.workers import Workers  # noqa: PLC0415 - only flows that use it pay for it

        return Workers()


def _cores() -> int:
    """Cores that this process may use, which in a container is not what the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def check_runner(given: Any) -> TaskRunner:
    """Raises InvalidOption."""
    runner: TaskRunner = ThreadRunner() if given is None else given
    if isinstance(runner, type) or not callable(getattr(runner, "open", None)):
        raise InvalidOption(
            f"task_runner must be a runner such as ThreadRunner(max_workers=8), not {given!r}"
        )
    positive("max_workers", runner.max_workers)
    return runner
