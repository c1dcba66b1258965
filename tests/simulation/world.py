"""The world: one heap of what is to happen, one seeded source of chance, nodes whose clocks go as they like.

The production code runs as it is, coroutines and all: each process of the world has an event loop whose time is the world's. Nothing
sleeps, nothing is a thread, and a seed always tells the same story.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LATE = 1e-6  # a timer is never early, whatever the rounding


class World:
    def __init__(self, seed: int, *, keep: int = 100) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = 0.0
        self.steps = 0
        self.happened: Counter[str] = Counter()
        self.trace: deque[tuple[float, str, tuple[Any, ...]]] = deque(maxlen=keep or None)
        self.broken: list[str] = []
        self._heap: list[tuple[float, int, Loop | None, Any]] = []
        self._ready: deque[tuple[Loop, asyncio.Handle]] = deque()
        self._entered: Loop | None = None
        self._n = 0
        self._dead: list[Any] = []

    def instant(self) -> datetime:
        return START + timedelta(seconds=self.now)

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def note(self, who: str, *what: Any) -> None:
        self.trace.append((self.now, who, what))

    def happens(self, fault: str) -> None:
        """Count a fault that really took place."""
        self.happened[fault] += 1

    def broke(self, rule: str, *facts: Any) -> None:
        """An invariant is violated; the run ends with this step."""
        text = f"{rule}: " + " ".join(map(str, facts))
        self.note("CHECK", text)
        self.broken.append(text)

    def after(self, delay: float, act: Callable[..., object], *args: Any) -> None:
        self.push(self.now + delay, None, (act, args))

    def push(self, at: float, loop: Loop | None, handle: Any) -> None:
        self._n += 1
        heapq.heappush(self._heap, (at, self._n, loop, handle))

    def soon(self, loop: Loop, handle: asyncio.Handle) -> None:
        self._ready.append((loop, handle))

    def run(self, until: float) -> None:
        """Let everything happen that is due by then, or up to the first violation."""
        heap, ready, broken = self._heap, self._ready, self.broken
        while not broken:
            if ready:
                loop, handle = ready.popleft()
                loop.perform(handle)
            elif heap and heap[0][0] <= until:
                at, _, owner, handle = heapq.heappop(heap)
                if at > self.now:
                    self.now = at
                if owner is None:
                    handle[0](*handle[1])
                else:
                    owner.perform(handle)
            else:
                self.now = max(self.now, until)
                break
            self.steps += 1
        self.enter(None)

    def number(self) -> int:
        self._n += 1
        return self._n

    def enter(self, loop: Loop | None) -> None:
        """What runs from here on runs in this loop."""
        if self._entered is not loop:
            self._entered = loop
            events._set_running_loop(loop)

    def bury(self, *things: Any) -> None:
        """Keep what a dead process left: its clean-up code must never run, for it was not there to run it."""
        self._dead.extend(things)

    def stop(self) -> None:
        """Nothing happens any more."""
        for _, _, loop, _ in self._heap:
            if loop is not None:
                loop.alive = False
        self._heap.clear()
        self._ready.clear()


class Clock:
    """A machine's clocks, as both halves of Headway ask for them. `rate` is how fast they go, `ahead` how wrong the wall clock is."""

    def __init__(self, world: World, rate: float = 1.0, ahead: float = 0.0) -> None:
        self._world = world
        self._rate = rate
        self.ahead = ahead
        self._slept = 0.0

    def boottime(self) -> float:
        return 1000.0 + self._world.now * self._rate

    def monotonic(self) -> float:
        return self.boottime() - self._slept

    def now(self) -> datetime:
        return START + timedelta(seconds=self._world.now + self.ahead)

    def now_us(self) -> int:
        return int((START.timestamp() + self._world.now + self.ahead) * 1_000_000)

    def sleeps(self, duration: float) -> None:
        """The machine is suspended: of its clocks only boottime goes on."""
        self._slept += duration * self._rate

    def world_time(self, monotonic: float) -> float:
        return (monotonic + self._slept - 1000.0) / self._rate

    def world_time_of_boot(self, boottime: float) -> float:
        return (boottime - 1000.0) / self._rate


class Future(asyncio.Future):
    """Hashes to a number, not to its address: sets of them are walked in the same order in every process."""

    def __init__(self, number: int, **named: Any) -> None:
        super().__init__(**named)
        self._number = number

    def __hash__(self) -> int:
        return self._number


class Task(asyncio.Task):
    """The same for tasks."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **named: Any) -> None:
        self._number = number
        super().__init__(coro, **named)

    def __hash__(self) -> int:
        return self._number


class Loop(asyncio.AbstractEventLoop):
    """One process's event loop. It dies with the process, and stands still while the process is frozen."""

    def __init__(self, world: World, clock: Clock, name: str) -> None:
        self.world = world
        self.clock = clock
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        # All that there ever were: none of them is collected before its world.
        self._tasks: list[Task] = []

    def perform(self, handle: asyncio.Handle) -> None:
        if not self.alive or handle._cancelled:
            return
        if self.frozen_until > self.world.now:
            self.world.push(self.frozen_until, self, handle)
            return
        if type(handle) is asyncio.TimerHandle and handle._when > self.time():
            self.world.push(self.clock.world_time(handle._when) + _LATE, self, handle)
            return
        self.world.enter(self)
        handle._run()

    def kill(self) -> None:
        self.world.bury(self._tasks)
        self.alive = False

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.create_task(work)

    # What asyncio asks of a loop ------------------------------------------------------------------------

    def time(self) -> float:
        return self.clock.monotonic()

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.world.soon(self, handle)
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.world.push(max(self.world.now, self.clock.world_time(when) + _LATE), self, handle)
        return handle

    def create_future(self):
        return Future(self.world.number(), loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = Task(self.world.number(), coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context):
        error = context.get("exception")
        if self.alive and error is not None and "never retrieved" not in context["message"]:
            self.world.broke("an error that nobody handles", self.name, repr(error))

    def get_debug(self):
        return False

    def is_running(self):
        return self.alive

    def is_closed(self):
        return not self.alive

    def _timer_handle_cancelled(self, handle):
        """It is dropped when its time comes."""
