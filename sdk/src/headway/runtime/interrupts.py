"""Raises Cancelled in task threads: in user code, and nowhere else.

An exception that another thread raises may strike between any two steps. In the engine it could lose a fact or leave a
future for ever unfinished, so threads say when they are in user code, and a blow that comes too late is taken back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from headway.errors import Cancelled


class Interrupts:
    """Which threads are in user code, and the way to cancel that code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth: dict[int, int] = {}
        self._struck: set[int] = set()
        self._listeners: set[Callable[[], object]] = set()
        self._striking = False

    def run(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Calls user code of a task thread. Raises Cancelled in it, or at once if the blow has fallen already."""
        thread = threading.get_ident()
        with self._lock:
            if self._striking:
                raise Cancelled
            self._depth[thread] = self._depth.get(thread, 0) + 1
        try:
            return function(*args, **kwargs)
        finally:
            self._leave(thread)

    def strike(self) -> None:
        """Raises Cancelled in all user code of task threads, at its next step of Python; C code finishes first.

        Once in each: each call that ends by a cancel strikes, and a second blow would fall into what another cleans up.
        """
        with self._lock:
            self._striking = True
            for thread in self._depth.keys() - self._struck:
                self._struck.add(thread)
                raise_in(thread, Cancelled)
            for cancel in self._listeners:
                cancel()

    @contextmanager
    def listening(self, cancel: Callable[[], object]) -> Iterator[None]:
        """For user code that an event loop of a task thread runs: it is told instead of struck."""
        with self._lock:
            if self._striking:
                raise Cancelled
            self._listeners.add(cancel)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(cancel)

    def _leave(self, thread: int) -> None:
        left = False
        while not left:
            try:
                with self._lock:
                    depth = self._depth.pop(thread, 1) - 1
                    if depth:
                        # What this code was called from, in the same thread, has not been struck.
                        self._depth[thread] = depth
                        self._struck.discard(thread)
                    elif thread in self._struck:
                        raise_in(thread, None)
                    left = True
            except Cancelled:
                # The blow fell inside this very method. There is only one: the next round is undisturbed.
                continue


def raise_in(thread: int, error: type[BaseException] | None) -> None:
    """None takes back what has not struck yet."""
    import ctypes  # noqa: PLC0415 - only a cancelled run needs it

    argument = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)
