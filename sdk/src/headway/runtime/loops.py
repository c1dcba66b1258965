"""One event loop in a thread of its own, for async tasks that sync code submits under an AsyncRunner."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from headway.futures import Future

Start = Callable[[], Coroutine[Any, Any, Any]]


class LoopThread:
    """Runs coroutines, at most `limit` at a time, in the order in which they were submitted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        # What follows belongs to the loop's thread alone.
        self._waiting: deque[tuple[Future[Any], Start, contextvars.Context]] = deque()
        self._active = 0

    def submit(self, future: Future[Any], start: Start) -> None:
        """Completes the future with the coroutine that `start` makes, on the loop. Any thread may call it."""
        loop = self._running()
        future.assign_to_loop()
        loop.call_soon_threadsafe(self._take, future, start, contextvars.copy_context())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_run, args=(self._loop,), name="headway-loop", daemon=True
                ).start()
            return self._loop

    def close(self) -> None:
        """Ends the thread, unless something is under way on its loop."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._loop is not None and not self._active:
            self._loop.stop()

    def _take(self, future: Future[Any], start: Start, context: contextvars.Context) -> None:
        self._waiting.append((future, start, context))
        self._fill()

    def _fill(self) -> None:
        while self._waiting and self._active < self._limit:
            future, start, context = self._waiting.popleft()
            if future.claim() is None:  # given up before it began
                continue
            assert self._loop is not None
            task = self._loop.create_task(start(), context=context)
            self._active += 1
            task.add_done_callback(self._ended)
            future.follow(task)

    def _ended(self, _task: asyncio.Task[Any]) -> None:
        self._active -= 1
        self._fill()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
