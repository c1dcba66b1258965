"""Ranges: many quick calls of one name as one fact, `calls.ended`. Folded by the supervisor, unfolded by the journal."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from headway.payloads import CodecName, Payload
from headway.runtime.frames_log import encode_frame

RANGE = "calls.ended"
FOLD_FROM = 16
"""Fewer calls of one name stay single facts: each of them can be looked at as it is."""
MOST_CALLS = 1000
MOST_BYTES = 512 * 1024  # of the facts that are folded; the range is smaller than they are
SMALL = 2048  # bytes of a fact that may be folded
KEY = 32  # hex digits of a call

_KEY = re.compile(r"[0-9a-f]{32}")
_SAYS = ("type", "at_us", "call", "parent", "kind", "name", "started_at_us", "outcome", "tries")
_FIELDS = frozenset((*_SAYS, "result", "code"))
TRIES = {"completed": 1, "skipped": 0}
"""Of the calls that are folded: executed at once, or kept from an earlier attempt."""
_TOLD = tuple(TRIES.items())
_RESULT = {"codec", "size", "digest"}


class _Group(NamedTuple):
    """What calls of one range have in common."""

    outcome: str
    parent: str
    kind: str
    name: str
    code: str
    codec: str


class _Member(NamedTuple):
    """One call of a range, and its fact as it came."""

    call: str
    at_us: int
    started_us: int
    size: int
    data: str | None
    raw: bytes


class Folding:
    """Holds ends of calls back until the next group is made durable, then gives them as ranges."""

    def __init__(self) -> None:
        self._groups: dict[_Group, list[_Member]] = {}
        self._calls = 0
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return self._calls >= MOST_CALLS or self._bytes >= MOST_BYTES

    def take(self, frame: Mapping[str, Any], raw: bytes) -> bool:
        """Whether this fact is held. Only one that says nothing of its call but that it has a result, and which."""
        sorted_in = _sort_in(frame, raw)
        if sorted_in is None:
            return False
        group, member = sorted_in
        self._groups.setdefault(group, []).append(member)
        self._calls += 1
        self._bytes += len(raw)
        return True

    def lies_in(self, call: str) -> bool:
        """Whether a call is held that was made in this one."""
        return any(group.parent == call for group in self._groups)

    def release(self) -> list[bytes]:
        """The facts that are held, folded where there are enough of them."""
        groups, self._groups = self._groups, {}
        self._calls = self._bytes = 0
        facts: list[bytes] = []
        for group, members in groups.items():
            if len(members) < FOLD_FROM:
                facts += [member.raw for member in members]
            else:
                facts.append(encode_frame(fold(group, members)))
        return facts


def _sort_in(frame: Mapping[str, Any], raw: bytes) -> tuple[_Group, _Member] | None:
    """Where a fact belongs; None for one that stays single. What is not known here may mean anything."""
    if len(raw) > SMALL or not frame.keys() <= _FIELDS:
        return None
    outcome, tries = frame.get("outcome"), frame.get("tries")
    if (outcome, tries) not in _TOLD or frame.get("kind") != "task":
        return None
    call, at_us, started_us = frame.get("call"), frame.get("at_us"), frame.get("started_at_us")
    result = frame.get("result")
    if not (isinstance(call, str) and _KEY.fullmatch(call) and isinstance(result, dict)):
        return None
    if not (_is_instant(at_us) and _is_instant(started_us) and _is_instant(result.get("size"))):
        return None
    codec, data = result.get("codec"), result.get("data")
    if not (result.keys() - {"data"} == _RESULT and isinstance(codec, str)):
        return None
    if (data is not None) if codec == "none" else not isinstance(data, str):
        return None
    words = [frame.get("parent"), frame["kind"], frame.get("name"), frame.get("code", "")]
    common = [outcome, *words, codec]
    if not all(isinstance(word, str) for word in common):
        return None
    return _Group(*common), _Member(call, at_us, started_us, result["size"], data, raw)  # type: ignore[arg-type]


def _is_instant(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def fold(group: _Group, members: list[_Member]) -> dict[str, Any]:
    """The one fact. What follows from the values themselves, their digests, is left out."""
    starts = [member.started_us for member in members]
    before = [0, *starts[:-1]]
    frame = {
        "type": RANGE,
        "at_us": max(member.at_us for member in members),
        "parent": group.parent,
        "kind": group.kind,
        "name": group.name,
        "outcome": group.outcome,
        "codec": group.codec,
        "size": sum(member.size for member in members),
        "calls": "".join(member.call for member in members),
        "started_deltas_us": [now - then for now, then in zip(starts, before, strict=True)],
        "durations_us": [member.at_us - member.started_us for member in members],
    }
    if group.code:
        frame["code"] = group.code
    if group.codec != "none":
        frame["data"] = [member.data for member in members]
    return frame


def keys(calls: str) -> list[str]:
    """The keys of a range's calls."""
    return [calls[at : at + KEY] for at in range(0, len(calls), KEY)]


def is_sound(frame: Mapping[str, Any]) -> bool:
    """Whether a range says of each call what it has to; another form keeps nothing."""
    calls, deltas = frame.get("calls"), frame.get("started_deltas_us")
    if not (isinstance(calls, str) and isinstance(deltas, list)):
        return False
    told = all(isinstance(frame.get(word), str) for word in ("parent", "codec", "outcome"))
    return told and len(calls) == KEY * len(deltas) and all(type(each) is int for each in deltas)


def starts(frame: Mapping[str, Any]) -> Iterator[int]:
    """When each call of a range began."""
    return accumulate(frame["started_deltas_us"])


def unfold(frame: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The facts that a range stands for."""
    for at, started_us in enumerate(starts(frame)):
        yield member(frame, at, started_us)


def member(frame: Mapping[str, Any], at: int, started_us: int) -> dict[str, Any]:
    """One of them, at that place in the range."""
    single: dict[str, Any] = {
        "type": "call.ended",
        "at_us": started_us + frame["durations_us"][at],
        "call": frame["calls"][at * KEY : (at + 1) * KEY],
        "parent": frame["parent"],
        "kind": frame["kind"],
        "name": frame["name"],
        "started_at_us": started_us,
        "outcome": frame["outcome"],
        "tries": TRIES[frame["outcome"]],
        "result": result(frame, at),
    }
    if "code" in frame:
        single["code"] = frame["code"]
    return single


def result(frame: Mapping[str, Any], at: int) -> dict[str, Any]:
    """The `result` of one call of a range, as its own fact had it."""
    codec: CodecName = frame["codec"]
    if codec == "none":
        payload = Payload(codec, b"")
        return {"codec": codec, "size": 0, "digest": payload.digest}
    text: str = frame["data"][at]
    payload = Payload(codec, text.encode() if codec == "json" else base64.b64decode(text))
    return {"codec": codec, "size": len(payload.data), "digest": payload.digest, "data": text}
