"""The calls of a range, packed and unpacked: pure. What packs them is a CallsEnded that holds keys and times alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate, repeat
from typing import NamedTuple

from headway_api.event.v1 import attempt_pb2 as facts

KEY_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Facts come from agents, so their numbers are not trusted: years that no calendar knows must not stop whoever reads them.
LATEST_US = int((datetime(9000, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))
_MOST_US = (1 << 63) - 1  # that a column holds


class Member(NamedTuple):
    """One call of a range."""

    call: bytes
    started_at: datetime
    ended_at: datetime


class Spread(NamedTuple):
    """What the calls of a range took, in microseconds, and between which instants."""

    started_us: int
    ended_us: int
    busy_us: int
    median_us: int
    longest_us: int


def keys(calls: bytes) -> list[bytes]:
    """The keys of a range's calls."""
    return [calls[at : at + KEY_BYTES] for at in range(0, len(calls), KEY_BYTES)]


def packed_keys(packed: bytes) -> list[bytes]:
    """The keys of the calls that are packed."""
    return keys(facts.CallsEnded.FromString(packed).calls)


def size(message: facts.CallsEnded) -> int:
    """How many calls it stands for."""
    return len(message.calls) // KEY_BYTES or max(message.count, 0)


def spread(message: facts.CallsEnded) -> Spread | None:
    """What the calls took; None where the pool withholds it."""
    times = list(_times(message))
    if not times:
        return None
    took = sorted(ended - started for started, ended in times)
    return Spread(
        started_us=min(started for started, _ in times),
        ended_us=max(ended for _, ended in times),
        busy_us=min(sum(took), _MOST_US),
        median_us=took[(len(took) - 1) // 2],
        longest_us=took[-1],
    )


def pack(message: facts.CallsEnded) -> bytes:
    """Keep of a range what tells its calls apart."""
    kept = facts.CallsEnded(
        calls=message.calls,
        started_deltas_us=message.started_deltas_us,
        durations_us=message.durations_us,
    )
    return kept.SerializeToString(deterministic=True)


def unpack(packed: bytes, withheld: datetime) -> Iterator[Member]:
    """The calls of a range; `withheld` is when they began and ended where nobody tells."""
    message = facts.CallsEnded.FromString(packed)
    times = [(instant(started), instant(ended)) for started, ended in _times(message)]
    for call, (began, ended) in zip(
        keys(message.calls), times or repeat((withheld, withheld)), strict=False
    ):
        yield Member(call, began, ended)


def _times(message: facts.CallsEnded) -> Iterator[tuple[int, int]]:
    for started, took in zip(
        accumulate(message.started_deltas_us), message.durations_us, strict=False
    ):
        began = _clamped(started)
        yield began, _clamped(began + max(took, 0))


def _clamped(us: int) -> int:
    return min(max(us, 0), LATEST_US)


def instant(us: int) -> datetime:
    """An instant in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)
