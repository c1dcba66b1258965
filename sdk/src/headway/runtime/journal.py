"""The journal: which calls earlier attempts completed, and with which results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headway import payloads
from headway.runtime.frames_log import read
from headway.runtime.results import ResultReader

_KEPT = frozenset({"completed", "skipped"})


class Kept(NamedTuple):
    """A completed call of an earlier attempt: its value, the recorded `result`, and the file of a large one."""

    value: Any
    result: dict[str, Any]
    file: Path | None


class Journal:
    """Completed calls by key; of two attempts the later one counts."""

    def __init__(self, results: dict[str, dict[str, Any]], reader: ResultReader) -> None:
        self._results = results
        self._reader = reader

    @classmethod
    def load(cls, logs: Iterable[str], store: str) -> Journal:
        paths = [Path(log) for log in logs]
        results: dict[str, dict[str, Any]] = {}
        for path in paths:
            results.update(_completed(path))
        # The newest attempt first: it holds what the next one needs most often.
        return cls(results, ResultReader([path.parent for path in reversed(paths)], store))

    def __len__(self) -> int:
        return len(self._results)

    def find(self, key: str) -> Kept | None:
        """The kept call; None when there is none or its value cannot be had: then the call is executed again."""
        result = self._results.get(key)
        if result is None:
            return None
        try:
            found = self._reader(result)
            return (
                None if found is None else Kept(payloads.decode(found.payload), result, found.file)
            )
        except Exception:  # noqa: BLE001 - the class has changed, a codec is gone, a file is foreign: execute again
            return None


def _completed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and result of each completed call. A log that is missing or damaged from some place on holds less, that is all."""
    try:
        for _, frame in read(path):
            if frame.get("type") == "call.ended" and frame.get("outcome") in _KEPT:
                result = frame["result"]
                if result["codec"] != "none":
                    yield frame["call"], result
    except FileNotFoundError:
        return
