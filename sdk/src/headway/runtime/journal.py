"""The journal: which calls earlier attempts completed, and with which results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headway import payloads
from headway.runtime.frames_log import read_from
from headway.runtime.framing import parse
from headway.runtime.results import ResultReader

_KEPT_OUTCOMES = ("completed", "skipped")
_SMALL = 2048
"""Bytes of a fact that are held in memory; of larger ones only the place, so that a long journal stays small."""


class Kept(NamedTuple):
    """A completed call of an earlier attempt: its value, the recorded `result`, and the file of a large one."""

    value: Any
    result: dict[str, Any]
    file: Path | None


class Place(NamedTuple):
    """Where a fact lies in a frames.log."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


Facts = dict[str, bytes | Place]


class Journal:
    """Completed calls by key; of two attempts the later one counts."""

    def __init__(self, facts: Facts, reader: ResultReader) -> None:
        self._facts = facts
        self._reader = reader

    @classmethod
    def load(cls, logs: Iterable[str], store: str) -> Journal:
        paths = [Path(log) for log in logs]
        facts: Facts = {}
        for path in paths:
            facts.update(_completed(path))
        # The newest attempt first: it holds what the next one needs most often.
        return cls(facts, ResultReader([path.parent for path in reversed(paths)], store))

    def __len__(self) -> int:
        return len(self._facts)

    def find(self, key: str) -> Kept | None:
        """The kept call; None when there is none or its value cannot be had: then the call is executed again."""
        fact = self._facts.get(key)
        if fact is None:
            return None
        try:
            frame = json.loads(fact.read() if isinstance(fact, Place) else fact)
            result: dict[str, Any] = frame["result"]
            found = self._reader(result)
            return (
                None if found is None else Kept(payloads.decode(found.payload), result, found.file)
            )
        except Exception:  # noqa: BLE001 - the class has changed, a codec is gone, a file is foreign: execute again
            return None


def _completed(path: Path) -> Iterator[tuple[str, bytes | Place]]:
    """Key and end of each completed call. A log that is missing or damaged from some place on holds less, that is all."""
    try:
        for record in read_from(path):
            if b'"call.ended"' not in record.raw:
                continue
            call = _kept_call(parse(record.raw) or {})
            if call is not None:
                size = len(record.raw)
                place = Place(path, record.end - size, size)
                yield call, record.raw if size <= _SMALL else place
    except FileNotFoundError:
        return


def _kept_call(frame: dict[str, Any]) -> str | None:
    """The call that this fact ended with a value that is kept. A fact of another form keeps nothing."""
    call, result = frame.get("call"), frame.get("result")
    kept = frame.get("type") == "call.ended" and frame.get("outcome") in _KEPT_OUTCOMES
    if not kept or not isinstance(result, dict):
        return None
    return call if isinstance(call, str) and result.get("codec", "none") != "none" else None
