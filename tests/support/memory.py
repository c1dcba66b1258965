"""Watching how much memory processes take."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

import psutil

MEBIBYTE = 1024 * 1024
_EVERY = 0.1


class MemoryWatch:
    """Looks at resident memory as long as the block lasts. `grown` tells how far each process rose above where it began."""

    def __init__(self, **processes: psutil.Process) -> None:
        self._processes = processes
        self._begun = {name: process.memory_info().rss for name, process in processes.items()}
        self._most = dict(self._begun)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    @property
    def grown(self) -> Mapping[str, float]:
        """In MiB."""
        return {name: (self._most[name] - self._begun[name]) / MEBIBYTE for name in self._begun}

    def beyond(self, most: float) -> list[str]:
        """Processes that grew by more than so many MiB."""
        return [f"{name} grew by {by:.0f} MiB" for name, by in self.grown.items() if by > most]

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            for name, process in self._processes.items():
                with suppress(psutil.NoSuchProcess):
                    self._most[name] = max(self._most[name], process.memory_info().rss)
