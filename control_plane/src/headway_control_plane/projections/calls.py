"""Calls by their place in a run: one call, what lies within it, the sub-flows of an attempt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections.packed_calls import packed_keys
from headway_control_plane.projections.tasks import Task, TaskCounts, TaskPage, page_of, task_of

SQL = load_queries("headway_control_plane.projections", "calls.sql")

COUNTED = 10_000
"""Calls within a call are counted so far; there are at least so many then."""
MOST_KEYS = 100_000
"""Of ranges the keys are looked at so far."""
KEY_BYTES = 16
_PREFIX = re.compile(r"[0-9a-f]{1,32}")
_NEWEST_ATTEMPTS = 100


class AmbiguousCall(Exception):
    """The beginning of a key is that of several calls."""


@dataclass(frozen=True, slots=True)
class Within:
    """What lies within a call: keys and sums, up to `COUNTED` calls. `capped`: there are more."""

    keys: frozenset[bytes]
    counts: TaskCounts
    capped: bool


def key_range(prefix: str) -> tuple[bytes, bytes]:
    """Return the first and the last key that begin like this; raises ValueError for what no key begins with."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(prefix)
    digits = KEY_BYTES * 2
    return bytes.fromhex(prefix.ljust(digits, "0")), bytes.fromhex(prefix.ljust(digits, "f"))


async def find_call(
    connection: Connection, ws: int, run: UUID, fence: int, prefix: str
) -> Task | None:
    """Return the call of an attempt whose key begins like this. Raises AmbiguousCall, ValueError."""
    first, last = key_range(prefix)
    found = await connection.execute(
        SQL["find"], {"ws": ws, "run": run, "fence": fence, "first": first, "last": last}
    )
    rows = await found.fetchall()
    if len(rows) > 1:
        raise AmbiguousCall(prefix)
    return task_of(rows[0]) if rows else None


async def newest_attempt_of(
    connection: Connection, ws: int, run: UUID, newest: int, prefix: str
) -> int | None:
    """Return the newest of a run's last attempts that knows a call; None where none does. Raises ValueError."""
    first, last = key_range(prefix)
    fences = list(range(max(1, newest - _NEWEST_ATTEMPTS + 1), newest + 1))
    found = await connection.execute(
        SQL["fences"], {"ws": ws, "run": run, "fences": fences, "first": first, "last": last}
    )
    row = await found.fetchone()
    return row[0] if row else None


async def flows(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    *,
    after: int = 0,
    limit: int = 100,
    statuses: Sequence[str] | None = None,
) -> TaskPage:
    """Return the sub-flows of an attempt behind the offset `after`."""
    return await _page(
        connection,
        "flows",
        {"ws": ws, "run": run, "fence": fence, "after": after},
        limit,
        statuses=list(statuses) if statuses is not None else None,
    )


async def count_flows(
    connection: Connection, ws: int, run: UUID, fence: int
) -> tuple[TaskCounts, bool]:
    """Return how the sub-flows of an attempt stand, and whether there are more than were counted."""
    found = await connection.execute(
        SQL["count_flows"], {"ws": ws, "run": run, "fence": fence, "limit": COUNTED + 1}
    )
    numbers: dict[str, int] = dict(await found.fetchall())
    return TaskCounts(fence, **numbers), sum(numbers.values()) > COUNTED


async def within(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    call: bytes,
    *,
    after: int = 0,
    limit: int = 100,
    statuses: Sequence[str] | None = None,
    name: str | None = None,
) -> TaskPage:
    """Return the calls within a call, however deep, behind the offset `after`."""
    return await _page(
        connection,
        "within",
        {"ws": ws, "run": run, "fence": fence, "call": call, "after": after},
        limit,
        statuses=list(statuses) if statuses is not None else None,
        name=name,
    )


async def look_within(
    connection: Connection, ws: int, run: UUID, fence: int, call: bytes
) -> Within:
    """Return keys and sums of the calls within a call."""
    found = await connection.execute(
        SQL["keys_within"],
        {"ws": ws, "run": run, "fence": fence, "call": call, "limit": COUNTED + 1},
    )
    rows = await found.fetchall()
    numbers: Counter[str] = Counter()
    keys: set[bytes] = set()
    for key, status, calls, packed in rows[:COUNTED]:
        numbers[status] += calls
        keys.add(bytes(key))
        if packed is not None and len(keys) < MOST_KEYS:
            keys.update(packed_keys(packed))
    return Within(
        frozenset(keys),
        TaskCounts(fence, **numbers),
        capped=len(rows) > COUNTED,
    )


async def keys_of(
    connection: Connection, ws: int, run: UUID, fence: int, call: bytes
) -> frozenset[str]:
    """Return the keys that lines of a call and of what lies within it bear; of very many calls the first ones."""
    inner = await look_within(connection, ws, run, fence, call)
    return frozenset(key.hex() for key in (call, *inner.keys))


async def _page(
    connection: Connection, query: str, key: Mapping[str, Any], limit: int, **filters: Any
) -> TaskPage:
    found = await connection.execute(SQL[query], {**key, **filters, "limit": limit + 1})
    return page_of(await found.fetchall(), limit)
