"""The journal: which calls earlier attempts completed, and with which results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

from headway import payloads
from headway.runtime.frames_log import Record, read_from
from headway.runtime.framing import parse
from headway.runtime.ranges import RANGE, is_sound, keys, result, starts
from headway.runtime.results import ResultReader

_KEPT_OUTCOMES = ("completed", "skipped")
_IS_RANGE = re.compile(rb'\{"type": ?"calls\.ended"')
_CALLS = re.compile(rb'"calls": ?"([0-9a-f]+)"')
_READ_RANGES = 8  # of those that were asked for last: a flow asks for its calls in about the order in which they were made
_CALL = re.compile(rb'"call": ?"([0-9a-f]{32})"')
_KEPT_END = re.compile(rb'"outcome": ?"(?:completed|skipped)"')
_NOT_KEPT = re.compile(rb'"codec": ?"none"')
_ENDED_ALIKE = re.compile(rb'"kind": ?"wait".*"result": ?\{')
"""A run that was asked for and failed, or was refused: its call failed, and this run's later attempts get the same outcome."""
_OUTPUTS = ("artifact.saved", "metrics.recorded", "event.emitted", "variable.written")
_OUTPUT = re.compile(rb'"(?:artifact\.saved|metrics\.recorded|event\.emitted|variable\.written)"')
_ASKED = re.compile(rb'\{"type": ?"run\.requested"')
_PAUSED = re.compile(rb'\{"type": ?"wait\.started"')
_SMALL = 2048
"""Bytes of a fact that are held in memory; of larger ones only the place, so that a long journal stays small."""


class Kept(NamedTuple):
    """A completed call of an earlier attempt: its value, the recorded `result`, and the file of a large one."""

    value: Any
    result: dict[str, Any]
    file: Path | None
    ref: str
    """What stands for the result in the keys of calls."""
    code: str
    """Of the function that made it; empty where no attempt told."""
    failed: bool = False
    """Of a run that was asked for: it did not complete, or there is none."""


class Place(NamedTuple):
    """Where a fact lies in a frames.log."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Entry(NamedTuple):
    """A completed call: its fact, the call around it, and when it was executed. `at`: its place, where the fact is a range."""

    fact: bytes | Place
    parent: str
    started_us: int
    at: int = -1
    failed: bool = False


class Asked(NamedTuple):
    """The run that a call asked for, and when."""

    run: str
    at_us: int


class Output(NamedTuple):
    """A side output that was told: in which call, when, and of a progress how far it had come."""

    call: str
    at_us: int
    percent: float
    points: int


class Cut(NamedTuple):
    """What of the first `logs` files counts no more: `call` and all in it, the calls `around` themselves, and what began
    at `at_us` or later (0: nothing for that reason).
    """

    logs: int
    call: str
    around: Sequence[str]
    at_us: int


class Journal:
    """Completed calls by key; of two attempts the later one counts. Waits that they began, by key."""

    def __init__(
        self,
        entries: dict[str, Entry],
        reader: ResultReader,
        cut: Set[str] = frozenset(),
        waits: Mapping[str, Mapping[str, Any]] | None = None,
        outputs: Mapping[str, Output] | None = None,
        asked: Mapping[str, Asked] | None = None,
    ) -> None:
        self._outputs = outputs or {}
        self._entries = entries
        self._reader = reader
        self._cut = cut
        self._waits = waits or {}
        self._asked = asked or {}
        # Several threads ask, and a fork may go on with it, so there is no lock: each step on the dict is a single one.
        self._ranges: dict[bytes | Place, dict[str, Any]] = {}

    @classmethod
    def load(
        cls, logs: Iterable[str], store: str, cuts: Iterable[Mapping[str, Any]] = ()
    ) -> Journal:
        paths = [Path(log) for log in logs]
        loading = _Loading([Cut(**cut) for cut in cuts])
        for count, path in enumerate(paths, 1):
            loading.read(path)
            loading.cut_after(count)
        # The newest attempt first: it holds what the next one needs most often.
        reader = ResultReader([path.parent for path in reversed(paths)], store)
        found = loading
        return cls(found.entries, reader, found.cut, found.waits, found.outputs, found.asked)

    @classmethod
    def of(cls, facts: Iterable[bytes], reader: ResultReader) -> Journal:
        """Of facts in memory, oldest attempt first."""
        loading = _Loading(())
        for fact in facts:
            loading.take(fact, fact)
        found = loading
        return cls(found.entries, reader, found.cut, found.waits, found.outputs, found.asked)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str) -> Kept | None:
        """The kept call; None when there is none or its value cannot be had: then the call is executed again."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            frame = self._range(entry.fact) if entry.at >= 0 else _read(entry.fact)
            told = _told(frame, key, entry.at)
            if told is None:
                return None
            found = self._reader(told)
            if found is None:
                return None
            ref = str(frame.get("ref") or key)
            code, failed = str(frame.get("code", "")), frame.get("outcome") == "failed"
            return Kept(payloads.decode(found.payload), told, found.file, ref, code, failed)
        except Exception:  # noqa: BLE001 - the class has changed, a codec is gone, a file is foreign: execute again
            return None

    def _range(self, fact: bytes | Place) -> dict[str, Any]:
        """A range, understood once for all of its calls that are asked for one after another."""
        frame = self._ranges.get(fact)
        if frame is None:
            frame = _read(fact)
            if not is_sound(frame):
                raise ValueError("a range that does not say of each call what it has to")
            if len(self._ranges) >= _READ_RANGES:
                self._ranges.clear()
            self._ranges[fact] = frame
        return frame

    def had(self, key: str) -> bool:
        """Whether the call was completed once, even if that cannot or must not be used: others may have taken its result."""
        return key in self._entries or key in self._cut

    def wait(self, key: str) -> Mapping[str, Any] | None:
        """What an earlier attempt said of this wait: since when, until when."""
        return self._waits.get(key)

    def told(self, output: str) -> Output | None:
        """The side output of this id, where an earlier attempt told it."""
        return self._outputs.get(output)

    def points(self, call: str, series: str) -> int:
        """How many points of a metric earlier attempts told of this call."""
        told = self._outputs.get(f"{call} {series}")
        return 0 if told is None else told.points

    def asked(self, key: str) -> str | None:
        """The run that an earlier attempt, of this run or of one that it was made from, asked for in this call."""
        asked = self._asked.get(key)
        return None if asked is None else asked.run

    def asked_runs(self) -> set[str]:
        """All runs that earlier attempts asked for."""
        return {asked.run for asked in self._asked.values()}


class _Loading:
    """Reads logs, oldest first. A log that is missing or damaged from some place on holds less, that is all."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self.entries: dict[str, Entry] = {}
        self.waits: dict[str, Mapping[str, Any]] = {}
        self.asked: dict[str, Asked] = {}
        self.cut: set[str] = set()
        self.outputs: dict[str, Output] = {}
        self._cuts = cuts
        self._parents: dict[str, str] = {}

    def read(self, path: Path) -> None:
        try:
            for record in read_from(path):
                self.take(record.raw, _fact(path, record))
        except FileNotFoundError:
            return

    def take(self, raw: bytes, fact: bytes | Place) -> None:
        """One fact, and as what it is remembered."""
        if _IS_RANGE.match(raw):
            self._calls(raw, fact)
        elif _ASKED.match(raw):
            self._ask(parse(raw) or {})
        elif _PAUSED.match(raw):
            self._attempt({"waits": [(parse(raw) or {}).get("wait")]})
        elif _OUTPUT.search(raw):
            self._output(parse(raw) or {})
        elif b'"call.' in raw:
            self._call(raw, fact)
        elif b'"waits"' in raw:
            self._attempt(parse(raw) or {})

    def _ask(self, frame: Mapping[str, Any]) -> None:
        call, run, at_us = frame.get("call"), frame.get("run"), frame.get("at_us")
        if isinstance(call, str) and isinstance(run, str):
            self.asked[call] = Asked(run, at_us if type(at_us) is int else 0)
            self._parents[call] = str(frame.get("parent", ""))

    def cut_after(self, count: int) -> None:
        for cut in self._cuts:
            if cut.logs == count:
                self._apply(cut)
                self._forget_failures()

    def _forget_failures(self) -> None:
        """A run that is made from another asks anew for what failed there."""
        failed = {call for call, entry in self.entries.items() if entry.failed}
        self.cut |= failed
        self.entries = {call: e for call, e in self.entries.items() if call not in failed}

    def _call(self, raw: bytes, fact: bytes | Place) -> None:
        if not self._cuts:
            self._unread(raw, fact)
            return
        frame = parse(raw) or {}
        call, parent = frame.get("call"), frame.get("parent")
        if not isinstance(call, str) or not isinstance(parent, str):
            return
        self._parents[call] = parent
        if _is_kept(frame):
            failed = frame["outcome"] == "failed"
            self.entries[call] = Entry(fact, parent, self._executed_at(frame, call), failed=failed)

    def _unread(self, raw: bytes, fact: bytes | Place) -> None:
        """Where nothing is cut, a fact need not be understood before it is asked for: that is most of a load's time.

        What these patterns find cannot stand in a text, whose quotes have backslashes; `find` reads the whole.
        """
        if b'"call.ended"' not in raw or _NOT_KEPT.search(raw):
            return
        if _KEPT_END.search(raw) or _ENDED_ALIKE.search(raw):
            key = _CALL.search(raw)
            if key is not None:
                self.entries[key[1].decode()] = Entry(fact, "", 0)

    def _output(self, frame: Mapping[str, Any]) -> None:
        """Its text may hold anything, and its type nothing but ours: what is no output after all counts for none."""
        call, at_us, percent = frame.get("call"), frame.get("at_us"), frame.get("percent")
        first, recorded = frame.get("first"), frame.get("recorded")
        points = first + recorded if type(first) is int and type(recorded) is int else 0
        name = f"{call} {frame.get('series')}" if "series" in frame else frame.get("id")
        if isinstance(call, str) and isinstance(name, str) and frame.get("type") in _OUTPUTS:
            reached = float(percent) if isinstance(percent, int | float) else -1.0
            self.outputs[name] = Output(call, at_us if type(at_us) is int else 0, reached, points)

    def _calls(self, raw: bytes, fact: bytes | Place) -> None:
        if not self._cuts:
            self._unread_range(raw, fact)
            return
        frame = parse(raw) or {}
        if not is_sound(frame):
            return
        made = zip(keys(frame["calls"]), starts(frame), strict=True)
        parent, kept = frame["parent"], frame["codec"] != "none"
        for at, (call, started_us) in enumerate(made):
            self._parents[call] = parent
            if kept:
                executed_us = self._since(call, started_us, frame["outcome"])
                self.entries[call] = Entry(fact, parent, executed_us, at)

    def _unread_range(self, raw: bytes, fact: bytes | Place) -> None:
        calls = _CALLS.search(raw)
        if calls is not None and not _NOT_KEPT.search(raw):
            for at, key in enumerate(keys(calls[1].decode())):
                self.entries[key] = Entry(fact, "", 0, at)

    def _executed_at(self, frame: Mapping[str, Any], call: str) -> int:
        started_us = frame.get("started_at_us")
        started_us = started_us if isinstance(started_us, int) else 0
        return self._since(call, started_us, frame["outcome"])

    def _since(self, call: str, started_us: int, outcome: str) -> int:
        """Of a skipped call: when the attempt that completed it began it."""
        before = self.entries.get(call)
        return before.started_us if outcome == "skipped" and before is not None else started_us

    def _attempt(self, frame: Mapping[str, Any]) -> None:
        waits = frame.get("waits")
        for wait in waits if isinstance(waits, list) else ():
            if isinstance(wait, dict) and isinstance(wait.get("call"), str):
                self.waits.setdefault(wait["call"], wait)
                self._parents[wait["call"]] = str(wait.get("parent", ""))

    def _apply(self, cut: Cut) -> None:
        def is_out(call: str, began_us: int) -> bool:
            late = bool(cut.at_us) and began_us >= cut.at_us
            return late or call in cut.around or (bool(cut.call) and self._is_in(call, cut.call))

        out = {call for call, entry in self.entries.items() if is_out(call, entry.started_us)}
        self.cut |= out
        self.entries = {call: e for call, e in self.entries.items() if call not in out}
        self.asked = {call: a for call, a in self.asked.items() if not is_out(call, a.at_us)}
        self.outputs = {name: o for name, o in self.outputs.items() if not is_out(o.call, o.at_us)}
        self.waits = {
            call: wait
            for call, wait in self.waits.items()
            if not is_out(call, wait.get("since_us") or 0)
        }

    def _is_in(self, call: str, outer: str) -> bool:
        """Whether the call is `outer` or was made inside it."""
        seen = set()
        while call != outer:
            seen.add(call)
            call = self._parents.get(call, "")
            if not call or call in seen:
                return False
        return True


def _fact(path: Path, record: Record) -> bytes | Place:
    size = len(record.raw)
    return record.raw if size <= _SMALL else Place(path, record.end - size, size)


def _read(fact: bytes | Place) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads((fact.read() if isinstance(fact, Place) else fact).decode())
    return frame


def _told(frame: dict[str, Any], key: str, at: int) -> dict[str, Any] | None:
    """The recorded `result` of a call, alone or at its place in a range; None where there is none that is kept."""
    if at >= 0:
        is_it = frame["type"] == RANGE and frame["calls"].startswith(key, at * len(key))
        return result(frame, at) if is_it and frame["codec"] != "none" else None
    if frame["call"] != key or not _is_kept(frame):
        return None
    told: dict[str, Any] = frame["result"]
    return told


def _is_kept(frame: Mapping[str, Any]) -> bool:
    """Whether this fact ended its call with a value that is kept. A fact of another form keeps nothing."""
    result = frame.get("result")
    outcome, is_wait = frame.get("outcome"), frame.get("kind") == "wait"
    ended = outcome in _KEPT_OUTCOMES or (outcome == "failed" and is_wait)
    kept = frame.get("type") == "call.ended" and ended
    return kept and isinstance(result, dict) and result.get("codec", "none") != "none"
