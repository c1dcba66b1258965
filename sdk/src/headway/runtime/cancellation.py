"""Cooperative cancel: SIGUSR1 becomes `headway.Cancelled` in the main thread, in waits, and in the task threads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType, TracebackType

from headway.errors import Cancelled
from headway.runtime.handlers import IGNORE, set_handler


class Cancellation:
    """Whether a cancel was asked, and how it reaches code that runs or waits.

    The signal handler may interrupt the main thread anywhere, so it takes no lock that the main thread could hold: it
    sets flags, opens a gate (a lock that is only ever released), and raises.
    """

    def __init__(self) -> None:
        self.requested = False
        self.held = _Held(self)
        self._gate = threading.Lock()
        self._gate.acquire()
        self._on_loop: Callable[[], object] | None = None
        self._deadline = float("inf")
        self.timed_out = False
        """The cancel that came means that the attempt's time is up."""

    def install(self) -> None:
        """Listens to SIGUSR1. Main thread only."""
        set_handler(signal.SIGUSR1, self._handle)

    def expect_timeout(self, seconds: float) -> None:
        """The supervisor, which was told of it before, will ask for a cancel after so many seconds, or later."""
        self._deadline = monotonic() + seconds

    def retire(self) -> None:
        """From now on a cancel comes too late: the attempt's outcome is decided. Main thread only."""
        set_handler(signal.SIGUSR1, IGNORE)

    def redirect(self, cancel: Callable[[], object] | None) -> None:
        """While an event loop runs the flow, a cancel goes to it instead of being raised between any two of its steps.

        Code that never yields to the loop does not see it; the supervisor's SIGTERM ends that.
        """
        self._on_loop = cancel

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises Cancelled as soon as a cancel is asked."""
        if self._gate.acquire(timeout=seconds):
            self._gate.release()
            raise Cancelled

    def check(self) -> None:
        if self.requested:
            raise Cancelled

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        self.timed_out = monotonic() >= self._deadline
        self._gate.release()
        if self._on_loop is not None:
            self._on_loop()
        elif not self.held.defers():
            raise Cancelled


class _Held:
    """A stretch of the main thread in which a cancel waits. In other threads it does nothing: signals never come there."""

    __slots__ = ("_cancellation", "_depth", "_main", "_missed")

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._main = threading.main_thread().ident
        self._depth = 0
        self._missed = False

    def defers(self) -> bool:
        if self._depth:
            self._missed = True
        return bool(self._depth)

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if threading.get_ident() == self._main:
            self._depth -= 1
            if self._missed and not self._depth:
                self._missed = False
                raise Cancelled
