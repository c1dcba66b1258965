"""A bounded pool of threads. It starts threads when there is work and lets idle ones end."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from headway.futures import Future, futures_in, resolve, running_loop, settled_after, worker
from headway.runners import THREADS_MAX

_LINGER_S = 0.1


class Worker(threading.Thread):
    """One of ours: it ends by itself."""


class Pool:
    """Executes futures in order of submission, at most `limit` at a time.

    The limit bounds threads, not depth: a pool's thread that waits for work nobody has begun does that work itself.
    """

    def __init__(self, limit: int = THREADS_MAX, *, daemon: bool = False) -> None:
        self._limit = limit
        self._daemon = daemon
        self._condition = threading.Condition()
        self._waiting: deque[Future[Any]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def close(self) -> None:
        """Nobody submits any more: threads end as soon as they have nothing to do."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def submit(self, future: Future[Any]) -> None:
        with self._condition:
            self._waiting.append(future)
            if len(self._waiting) <= self._idle:
                self._condition.notify()
            elif len(self._threads) < self._limit:
                self._start_thread()

    def _start_thread(self) -> None:
        thread = Worker(target=self._work, name="headway-task", daemon=self._daemon)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        worker.active = True
        while (future := self._next()) is not None:
            work = future.claim()
            if work is not None:
                work()

    def _next(self) -> Future[Any] | None:
        with self._condition:
            if not self._waiting and not self._closed:
                self._idle += 1
                self._condition.wait(_LINGER_S)
                self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads.discard(threading.current_thread())
            return None


def fulfil(future: Future[Any], produce: Callable[[], Any]) -> Callable[[], None]:
    """Work that completes the future with what `produce` gives, in a copy of the present context."""
    context = contextvars.copy_context()

    def work() -> None:
        try:
            value = context.run(produce)
        except BaseException as error:  # noqa: BLE001 - it is not lost: the future carries it to whoever waits
            future.fail(error)
        else:
            future.complete(value)

    return work


def run_coroutine(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs an async function to its end on a loop of its own."""
    import asyncio  # noqa: PLC0415 - 29 ms that only async users pay

    return asyncio.run(function(*args, **kwargs))


_plain = Pool()


def submit_plain(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    after: Sequence[Any] = (),
    *,
    is_async: bool,
) -> Future[Any]:
    """Outside a run: the plain function on a thread, or as a task of the running loop. No retries, no journal."""
    future: Future[Any] = Future()
    loop = running_loop()
    if is_async and loop is not None:
        future.follow(loop.create_task(_call_on_loop(fn, args, kwargs, after)))
        return future
    call = run_coroutine if is_async else _call
    bind_loops(future, (args, kwargs, after))

    def produce() -> Any:
        settled_after(after)
        return call(fn, *resolve(args), **resolve(kwargs))

    future.assign(fulfil(future, produce))
    _plain.submit(future)
    return future


def bind_loops(future: Future[Any], inputs: tuple[Any, ...]) -> None:
    """A call whose arguments a loop has to complete cannot end while that loop is blocked by waiting for it."""
    for argument in futures_in(inputs):
        if argument.loop is not None:
            future.bind_loop(argument.loop)


def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


async def _call_on_loop(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], after: Sequence[Any]
) -> Any:
    await settle_arguments(args, kwargs, after)
    settled_after(after)
    return await fn(*resolve(args), **resolve(kwargs))


async def settle_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], after: Sequence[Any] = ()
) -> None:
    """Waits on the loop for the futures among arguments, so that resolving them does not block it."""
    for argument in futures_in((args, kwargs, after)):
        await argument.settled()
