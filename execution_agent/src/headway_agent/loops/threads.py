"""Work that may hang, in threads that nothing waits for: one that hangs in a store's connection must not hold up the agent's end."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """What the work gives, or raises. Whoever is cancelled meanwhile leaves it alone."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    outcome = _Outcome(work)

    def run() -> None:
        outcome.make()
        with contextlib.suppress(RuntimeError):  # the agent has ended meanwhile
            loop.call_soon_threadsafe(outcome.settle, done)

    threading.Thread(target=run, name="store", daemon=True).start()
    return await done


class _Outcome(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._given: list[T] = []
        self._error: Exception | None = None

    def make(self) -> None:
        try:
            self._given.append(self._work())
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it
            self._error = error

    def settle(self, done: asyncio.Future[T]) -> None:
        if done.cancelled():
            return
        if self._error is not None:
            done.set_exception(self._error)
        else:
            done.set_result(self._given[0])
