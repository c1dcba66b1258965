"""A second reader of frames.log, made from its README alone: what judges the journal must not read it as the journal does.

Nothing of `headway` is imported here. A type of record that is not known is an error: whoever adds one says in `Attempt.take`
what it means for the journal.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Frame = dict[str, Any]
HEAD = struct.Struct(">IIQ")
KEY = 32
"""Digits of a call's key."""
SAYS_NOTHING = {
    "call.started", "attempt.starting", "attempt.started", "attempt.ended", "artifact.saved", "metrics.recorded",
    "event.emitted", "variable.written",
}  # fmt: skip
"""Of the journal: they end no call."""


def records(data: bytes) -> Iterator[tuple[int, Frame]]:
    """`u32 length`, `u32 crc32` over n and JSON, `u64 n`, JSON; up to the first that is short, damaged or out of turn."""
    at, expected = 0, 1
    while len(data) - at >= HEAD.size:
        length, crc, n = HEAD.unpack(data[at : at + HEAD.size])
        body = data[at + HEAD.size : at + HEAD.size + length]
        if len(body) < length or n != expected or zlib.crc32(n.to_bytes(8, "big") + body) != crc:
            return
        yield n, json.loads(body)
        at, expected = at + HEAD.size + length, expected + 1


@dataclass(frozen=True)
class End:
    """How one call ended in one attempt."""

    n: int
    call: str
    parent: str
    kind: str
    name: str
    outcome: str
    tries: int
    is_kept: bool
    """Another attempt finds its result."""
    error: str


@dataclass
class Attempt:
    """What the file of one attempt says."""

    fence: int
    ends: list[End] = field(default_factory=list)
    retried: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """Calls whose tries failed and were followed by another: the class of each try's error."""
    exit: Frame = field(default_factory=dict)
    records: int = 0

    def take(self, n: int, frame: Frame) -> None:
        self.records = n
        kind = frame["type"]
        if kind == "call.ended":
            self.ends.append(_end(n, frame))
        elif kind == "calls.ended":
            self.ends += [_end(n, each) for each in _unfolded(frame)]
        elif kind == "call.retrying":
            self.retried[frame["call"]][frame["try"]] = frame["error"]["class"]
        elif kind == "attempt.exited":
            self.exit = frame
        else:
            assert kind in SAYS_NOTHING, (
                f"support/second_reader.py does not know {kind}: say what it means there"
            )

    @property
    def kept(self) -> set[str]:
        """Calls that later attempts skip."""
        return {end.call for end in self.ends if end.is_kept}

    def end_of(self, call: str) -> End | None:
        return next((end for end in self.ends if end.call == call), None)


def _unfolded(frame: Frame) -> Iterator[Frame]:
    """The ends that a range stands for."""
    keys = frame["calls"]
    assert len(keys) == KEY * len(frame["data"]), f"a range of {len(keys)} digits"
    for at in range(0, len(keys), KEY):
        result = {"codec": frame["codec"]}
        tries = 1 if frame["outcome"] == "completed" else 0
        yield {**frame, "call": keys[at : at + KEY], "result": result, "tries": tries}


def _end(n: int, frame: Frame) -> End:
    result = frame.get("result") or {}
    is_good = frame["outcome"] in {"completed", "skipped"}
    return End(
        n,
        frame["call"],
        frame["parent"],
        frame["kind"],
        frame["name"],
        frame["outcome"],
        frame["tries"],
        is_good and result.get("codec", "none") != "none",
        (frame.get("error") or {}).get("class", ""),
    )


def attempts(directories: dict[int, Path]) -> list[Attempt]:
    """Of one run on one agent, in order. An attempt without a file has executed nothing."""
    found = []
    for fence in sorted(directories):
        attempt = Attempt(fence)
        path = directories[fence] / "frames.log"
        for n, frame in records(path.read_bytes() if path.exists() else b""):
            attempt.take(n, frame)
        found.append(attempt)
    return found
