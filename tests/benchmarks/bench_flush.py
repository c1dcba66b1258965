"""What one flush takes along, and how long its callers wait, as more of them call: natural batching, no lingering."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import uvloop

from benchmarks.bench import Bench
from benchmarks.facts import log_facts
from benchmarks.report import Figure, Goal, percentile, timed
from headway_control_plane.log.flush import Flusher
from support.log_fixtures import Fleet, new_fleet, open_log

SUMMARY = "events a flush and latency of an append as 1 to 512 callers report 8 facts at a time, in 8 workspaces"
CALLERS = (1, 8, 64, 512)
WORKSPACES = 8
FACTS = 8


@dataclass(frozen=True, slots=True)
class Load:
    callers: int
    waited_ms: list[float]
    events: int
    seconds: float
    flushes: int


class _Counting(Flusher):
    """Counts what the production flusher does."""

    flushes = 0

    async def run(self, connection, items):
        type(self).flushes += 1
        return await super().run(connection, items)


def measure(bench: Bench) -> list[Figure]:
    server = bench.database("flush")
    return uvloop.run(_measure(server.url, bench.size(5, 1)))


async def _measure(url: str, seconds: float) -> list[Figure]:
    async with open_log(url) as log:
        for lane in log._lanes:  # the one seam between a lane and its transaction
            lane._flusher.__class__ = _Counting
        fleets = [await new_fleet(log) for _ in range(WORKSPACES)]
        loads = [await _load(fleets, callers, seconds) for callers in CALLERS]
    alone = loads[0].events / loads[0].seconds
    figures = []
    for load in loads:
        rate = load.events / load.seconds
        against = {"yardstick": alone, "yardstick_is": "one caller"}
        grown = Goal(5.0, at_least=True, of_yardstick=True) if load.callers == CALLERS[-1] else None
        figures += [
            timed(f"{load.callers} callers: an append waits", load.waited_ms),
            Figure(f"{load.callers} callers: events a flush", "", load.events / load.flushes),
            Figure(f"{load.callers} callers: events a second", "1/s", rate, goal=grown, **against),
        ]
    share = percentile(loads[-1].waited_ms, 0.99) / percentile(loads[-1].waited_ms, 0.5)
    return [
        *figures,
        Figure(f"{CALLERS[-1]} callers: p99 of the wait by its median", "", share, goal=Goal(5)),
    ]


async def _load(fleets: list[Fleet], callers: int, seconds: float) -> Load:
    facts = log_facts()[:FACTS]
    runs = [(fleet, await fleet.granted_run()) for fleet in (fleets * callers)[:callers]]
    waited: list[float] = []
    flushes = _Counting.flushes
    begun = time.perf_counter()
    until = begun + seconds

    async def call(fleet: Fleet, run) -> int:
        seq = 1
        while (now := time.perf_counter()) < until:
            verdict = await fleet.report(run, 1, seq, facts)
            assert verdict.verdict == "ok", verdict
            waited.append((time.perf_counter() - now) * 1e3)
            seq += FACTS
        return seq - 1

    events = sum(await asyncio.gather(*(call(*each) for each in runs)))
    took = time.perf_counter() - begun
    return Load(callers, waited, events, took, _Counting.flushes - flushes)
