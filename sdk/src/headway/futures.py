"""Futures of submitted calls, and how to wait for several of them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from headway import nesting
from headway.errors import Cancelled, ForgottenAwait

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Callback = Callable[["Future[Any]"], None]

# One for all futures, for each is changed three times in its life and for a moment; a lock and an event of its own
# would be most of a future's memory. Reentrant: a collected object's finalizer may run inside.
_changing = threading.RLock()

worker = threading.local()
"""`worker.active` is set in the threads of a pool."""


class Future(Generic[T]):
    """The outcome of a submitted call, now or later.

    Pass it as an argument to another task, alone or inside lists, tuples and dicts: the task gets the value. In async
    code, `await` it. The call that submitted it waits for it at its end; a failure that nobody has looked at
    (`result`, `exception`, `await`, or an argument of another call) then fails that call.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_done",
        "_error",
        "_event",
        "_loop",
        "_seen",
        "_task",
        "_value",
        "_work",
        "key",
    )

    def __init__(self, key: str = "") -> None:
        self.key = key
        """What stands for the call's result in the keys of other calls; empty outside a run."""
        self._done = False
        # Made by the first who waits: of a hundred thousand futures few are ever waited for by themselves.
        self._event: threading.Event | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callback] | None = None
        self._work: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._seen = False

    def done(self) -> bool:
        """Whether the call has ended, well or not."""
        return self._done

    def wait(self, timeout: float | None = None) -> bool:
        """Waits up to `timeout` seconds; whether the call has ended. Says nothing of how."""
        if not self._done:
            self._help()
        return self._done or self._wait_event(timeout)

    def _wait_event(self, timeout: float | None) -> bool:
        event = threading.Event()
        with _changing:
            if self._done:
                return True
            if self._event is None:
                self._event = event
            event = self._event
        return event.wait(timeout)

    def result(self, timeout: float | None = None) -> T:
        """The call's value. Raises what the call raised; TimeoutError after `timeout` seconds."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return cast("T", self._value)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None. TimeoutError after `timeout` seconds."""
        if not self.wait(timeout):
            raise TimeoutError(f"the call has not ended within {timeout:g} s")
        self._seen = True
        return self._error

    def __await__(self) -> Generator[Any, None, T]:
        return self._on_loop().__await__()

    async def _on_loop(self) -> T:
        await self.settled()
        return self.result()

    async def settled(self) -> None:
        """Waits on the running loop until the call has ended; says nothing of how."""
        if self._done:
            return
        import asyncio  # noqa: PLC0415 - 29 ms, and who awaits has it loaded

        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(end)

        self.on_done(wake)
        await waiter

    def _help(self) -> None:
        """Before a thread blocks: a pool's thread executes waiting work itself, so that nested calls cannot starve."""
        if getattr(worker, "active", False):
            _execute(self)
        elif self._loop is not None and self._loop is running_loop():
            raise ForgottenAwait(
                "this future is served by the event loop of this very thread: await it instead"
            )

    # What follows serves the engine.

    def assign(self, work: Callable[[], None]) -> None:
        """Gives the future the work that completes it; whoever claims it executes it."""
        self._work = work

    def assign_to_loop(self) -> None:
        """As `assign`, for what only the loop that knows of it can do."""
        self._work = _for_loop

    @property
    def is_for_loop(self) -> bool:
        return self._work is _for_loop

    def claim(self) -> Callable[[], None] | None:
        """The work, for exactly one caller; None when it was claimed before."""
        with _changing:
            work, self._work = self._work, None
        return work

    def follow(self, task: asyncio.Task[T]) -> None:
        """Takes its outcome from a task of a loop, and keeps that task alive (the loop itself does not)."""
        self._task = task
        self._loop = task.get_loop()
        task.add_done_callback(self._take)

    def _take(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.fail(Cancelled("the call was cancelled"))
        elif (error := task.exception()) is not None:
            self.fail(error)
        else:
            self.complete(task.result())

    def forgo(self) -> None:
        """Gives up work that nobody has begun."""
        if self.claim() is not None:
            self._seen = True
            self.fail(Cancelled("the call was given up before it began"))

    def discard(self) -> None:
        """Gives up work that nobody has begun, or that runs on a loop; a thread cannot be stopped."""
        self.forgo()
        if self._task is not None and not self.done():
            self._seen = True
            loop = self._task.get_loop()
            if loop is running_loop():
                self._task.cancel()
            else:
                loop.call_soon_threadsafe(self._task.cancel)

    def bind_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Declares that the loop has a part in completing this future."""
        self._loop = loop

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def complete(self, value: T) -> None:
        self._value = value
        self._finish()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._finish()

    def unseen_error(self) -> BaseException | None:
        """The failure of an ended call that nobody has looked at."""
        return None if self._seen else self._error

    @property
    def has_failed(self) -> bool:
        """Whether the call has ended and raised. Asking is no looking: an unseen failure stays unseen."""
        return self._error is not None

    def on_done(self, callback: Callback) -> None:
        """Calls back once ended: in the thread that ends it, or at once."""
        with _changing:
            if not self._done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback(self)

    def _finish(self) -> None:
        with _changing:
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        if self._event is not None:
            self._event.set()
        for callback in callbacks or ():
            callback(self)


def _for_loop() -> None:
    """Stands for the work of a future that a loop will do."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, without importing asyncio for the many who never do."""
    if "asyncio" not in sys.modules:
        return None
    loop: asyncio.AbstractEventLoop | None = sys.modules["asyncio"]._get_running_loop()  # noqa: SLF001 - get_running_loop raises, this asks
    return loop


class Waited(NamedTuple, Generic[T]):
    """What `wait` found."""

    done: list[Future[T]]
    pending: list[Future[T]]


def wait(futures: Iterable[Future[T]], timeout: float | None = None) -> Waited[T]:
    """Waits until all have ended, at most `timeout` seconds in all. Failures stay in the futures."""
    listed = list(futures)
    deadline = None if timeout is None else monotonic() + timeout
    for future in listed:
        future.wait(_left(deadline))
    done = [future for future in listed if future.done()]
    return Waited(done, [future for future in listed if not future.done()])


def as_completed(futures: Iterable[Future[T]], timeout: float | None = None) -> Iterator[Future[T]]:
    """The futures as they end, first ended first. TimeoutError after `timeout` seconds in all."""
    listed = list(futures)
    deadline = None if timeout is None else monotonic() + timeout
    ended: SimpleQueue[Future[T]] = SimpleQueue()
    for future in listed:
        future.on_done(ended.put)
    unbegun = deque(listed)
    for position in range(len(listed)):
        while ended.empty() and unbegun and getattr(worker, "active", False):
            _execute(unbegun.popleft())
        try:
            yield ended.get(timeout=_left(deadline))
        except Empty:
            raise TimeoutError(
                f"{len(listed) - position} calls have not ended within {timeout:g} s"
            ) from None


def _execute(future: Future[Any]) -> None:
    if future.is_for_loop:
        return
    work = future.claim()
    if work is not None:
        work()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - monotonic())


class Futures(list[Future[T]]):
    """The futures of a map, in the order of its items."""

    def result(self, timeout: float | None = None) -> list[T]:
        """All values, in order. Raises what the first failed call raised; TimeoutError after `timeout` seconds in all."""
        deadline = None if timeout is None else monotonic() + timeout
        return [future.result(_left(deadline)) for future in self]

    def wait(self, timeout: float | None = None) -> Waited[T]:
        """As `headway.wait`."""
        return wait(self, timeout)

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._on_loop().__await__()

    async def _on_loop(self) -> list[T]:
        return [await future for future in self]


class allow_failure(Generic[T]):  # noqa: N801 - reads as a mark on an argument
    """Marks a future that may fail: the call gets what it raised in place of its value, and is executed all the same.

    `report.submit(allow_failure(load.submit()))`; also in `wait_for`, and around a list of futures given to `map`.
    """

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class unmapped(Generic[T]):  # noqa: N801 - reads as a mark on an argument, as in other engines
    """Marks an argument of `map` that every call gets whole."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


def futures_in(value: object) -> Iterator[Future[Any]]:
    """Futures in a value: itself, or inside lists, tuples and the values of dicts, at any depth."""
    for mark in nesting.find(value, _MARKS):
        if type(mark) is Future:
            yield mark
        else:
            yield from futures_in(mark.value if type(mark) is allow_failure else list(mark))


def _has_marks(value: object) -> bool:
    """Whether it holds a future, or a mark on what turned out to be none."""
    return next(nesting.find(value, _MARKS), None) is not None


_MARKS = (Future, allow_failure, Futures)


def resolve(value: Any, *, tolerant: bool = False) -> Any:
    """The value with each future replaced by its result; the very same object when it holds none.

    Raises what a failed call raised; where failures are allowed (`tolerant`), that stands in the value's place.
    """
    kind = type(value)
    if kind is Future:
        return _outcome(value) if tolerant else value.result()
    if kind is allow_failure:
        return resolve(value.value, tolerant=True)
    if kind is Futures:
        return [resolve(each, tolerant=tolerant) for each in value]
    if not nesting.may_hold(value) or not _has_marks(value):
        return value
    if kind is dict:
        return {name: resolve(each, tolerant=tolerant) for name, each in value.items()}
    return kind(resolve(each, tolerant=tolerant) for each in value)


def _outcome(future: Future[Any]) -> Any:
    error = future.exception()
    # What is no Exception (a cancel) is no failure that a call could go on from.
    if error is not None and not isinstance(error, Exception):
        raise error
    return future.result() if error is None else error


def settled_after(futures: Iterable[Any]) -> None:
    """Waits for what a call was told to wait for; raises the first failure that is not allowed."""
    for each in futures:
        resolve(each)
