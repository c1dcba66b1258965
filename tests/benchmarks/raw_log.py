"""The yardstick of the log: a bare binary `unnest` of the same bytes, a statement and a commit a batch, nothing else."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from dataclasses import dataclass

import psycopg

from headway_control_plane.application.ports import AttemptFacts
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log import packed
from headway_control_plane.log.columns import INSERT_EVENTS, EventColumns, Head, Source
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import PreparedFacts, prepare
from support.log_fixtures import new_ids

CONNECTIONS = 2  # as many as the committer has lanes
BATCH = 1_000
_workspaces = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Rate:
    events: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


def event_ids() -> EventIds:
    return EventIds(lambda: int(time.time() * 1000), os.urandom)


async def raw_rate(url: str, facts: list, batches: int) -> Rate:
    """Insert prepared batches. The arrays are made before the clock runs."""
    received = AttemptFacts(new_ids()(), 1, 1, (facts * (BATCH // len(facts) + 1))[:BATCH])
    prepared = prepare(received, event_ids())
    connections = [await _connect(url) for _ in range(CONNECTIONS)]
    work = [_batches(prepared, batches) for _ in range(CONNECTIONS)]
    begun = time.perf_counter()
    await asyncio.gather(*map(_insert, connections, work))
    seconds = time.perf_counter() - begun
    for connection in connections:
        await connection.close()
    return Rate(CONNECTIONS * batches * BATCH, seconds)


async def _connect(url: str) -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, options="-c search_path=headway"
    )
    packed.register(connection)
    return connection


def _batches(prepared: PreparedFacts, count: int) -> list:
    """Arrays of which no two have a key in common."""
    head = Head(
        1_000_000 + next(_workspaces), new_ids()(), 0, 1, 0, int(time.time() // 86_400), b"c" * 32, time.time_ns() // 1000
    )  # fmt: skip
    stream = Stream(StreamKind.ATTEMPT, head.workspace, 1)
    source = Source.of("agent/x", None, "")
    made = []
    for _ in range(count):
        columns = EventColumns()
        columns.append(head, stream, head.offset + 1, prepared, source)
        made.append(columns.arrays())
    return made


async def _insert(connection: psycopg.AsyncConnection, batches: list) -> None:
    for arrays in batches:
        await connection.execute(INSERT_EVENTS, arrays, prepare=True)
