"""A service repeats bounded work until it is told to stop. One base owns starting, stopping, pacing and the handling of outages."""

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

from opentelemetry import metrics
from psycopg_pool import PoolClosed

from headway_control_plane.db.outages import OUTAGES

_log = logging.getLogger(__name__)

_defects = metrics.get_meter("headway.services").create_counter(
    "headway.services.defects",
    unit="{failure}",
    description="Looks of a service that failed in an unforeseen way, by service",
)
_JITTER = 0.1
_LONGEST_BACKOFF = 15.0


class Work(Protocol):
    """What a service repeats. The layers below know this shape and never the service."""

    @property
    def name(self) -> str: ...

    @property
    def interval(self) -> float:
        """Seconds until the next look when nothing wakes the service before; asked anew each time."""
        ...

    async def run_once(self) -> bool:
        """Do one bounded piece. True: more waits, call again at once."""
        ...


class Service:
    """Runs one work in a task of its own. Start and stop may be called any number of times, in any order.

    The first look comes at a random moment of the first interval, unless `prompt`, so that services and replicas that
    start together do not stay in step. An outage (`transient`) is waited out. So is an error that nobody foresaw: the work is level-triggered
    and looks again, after `recover` has thrown away what it knew in memory alone; ending the process would stop everybody's work over it.
    Only what a new process alone can mend, a closed pool, ends the loop.
    """

    def __init__(
        self,
        work: Work,
        *,
        random: Random,
        prompt: bool = False,
        stop_timeout: float = 10.0,
        transient: tuple[type[Exception], ...] = OUTAGES,
        recover: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._random = random
        self._prompt = prompt
        self._stop_timeout = stop_timeout
        self._transient = transient
        self._recover = recover
        self.defect: Exception | None = None  # why the last look failed, if nobody foresaw it
        self._woken = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    @property
    def name(self) -> str:
        return self._work.name

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def wake(self) -> None:
        """Look soon, without waiting for the interval. Many calls before the look count as one."""
        self._woken.set()

    def start(self, on_end: Callable[["Service"], None] | None = None) -> None:
        """Begin, unless it already runs. `on_end` is called when the loop ends, in order or not."""
        if self.running:
            return
        self._stopping = False
        self._failures = 0
        self._task = asyncio.create_task(self._loop(), name=self.name)
        if on_end is not None:
            self._task.add_done_callback(lambda _: on_end(self))

    async def stop(self) -> None:
        """End after the piece that is under way; one that takes too long is cancelled."""
        task = self._task
        if task is None:
            return
        self._stopping = True
        self._woken.set()
        done, _ = await asyncio.wait((task,), timeout=self._stop_timeout)
        if not done:
            _log.warning("%s does not stop by itself and is cancelled", self.name)
            task.cancel()
            await asyncio.wait((task,))
        if self._task is task:
            self._task = None

    @property
    def error(self) -> BaseException | None:
        """Why the loop died, if it died."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _loop(self) -> None:
        if not self._prompt:
            await self._pause(self._work.interval * self._random.random())
        while not self._stopping:
            pause = await self._look()
            await self._pause(pause)

    async def _look(self) -> float:
        """Do one piece; return the seconds until the next."""
        # Cleared before the look: what wakes the service during it is looked at next.
        self._woken.clear()
        try:
            more = await self._work.run_once()
        except self._transient as problem:
            return self._backoff(problem)
        except Exception as defect:  # noqa: BLE001 - logged, counted, and looked at again
            return self._after_defect(defect)
        self._failures, self.defect = 0, None
        spread = 1 + _JITTER * (2 * self._random.random() - 1)
        return 0.0 if more else self._work.interval * spread

    def _after_defect(self, defect: Exception) -> float:
        if isinstance(defect, PoolClosed):
            return self._backoff(defect)
        _log.error("%s failed in an unforeseen way and starts anew", self.name, exc_info=defect)
        _defects.add(1, {"service": self.name})
        self.defect = defect
        self._recover()
        return self._backoff(defect)

    def _backoff(self, problem: Exception) -> float:
        if isinstance(problem, PoolClosed) and not self._stopping:
            raise problem
        self._failures += 1
        ceiling: float = min(_LONGEST_BACKOFF, 0.1 * 2**self._failures)
        pause = self._random.random() * ceiling
        _log.warning("%s cannot work, next try in %.1f s: %s", self.name, pause, problem)
        return pause

    async def _pause(self, seconds: float) -> None:
        if self._stopping:
            return
        if seconds <= 0:
            await asyncio.sleep(0)  # others get their turn between two pieces
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass  # nothing woke us; that is the ordinary way to the next look
