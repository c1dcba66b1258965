"""The log at growing sizes: does appending or reading get slower as events pile up?

The events are filled in by the database, in one workspace, over ten day segments for each size. Each figure at a size stands beside the
same figure at the smallest one: a flat curve has the ratio 1.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
import uvloop

from benchmarks.bench import Bench
from benchmarks.facts import BATCH, log_facts
from benchmarks.report import Figure, Goal, percentile, timed
from headway_control_plane.application.ports import Cursor
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.segments import Segments
from support.log_fixtures import Fleet, new_fleet, open_log

SUMMARY = "append, page and stream reads with 10^5, 10^6, 10^7 events stored (HEADWAY_BENCH_EVENTS=1e8 for more)"
DAYS_A_SIZE = 10
EVENTS_OF_A_STREAM = 100
PAGE = 100
FLAT = Goal(2.0, of_yardstick=True)
FILL = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Milliseconds of each call at one size."""

    append: list[float]
    page: list[float]
    stream: list[float]


def measure(bench: Bench) -> list[Figure]:
    server = bench.database("stored", **FILL)
    most = int(float(os.environ.get("HEADWAY_BENCH_EVENTS", "1e7")))
    sizes = [n for n in (10**5, 10**6, 10**7, 10**8) if n <= most]
    if bench.quick:
        sizes = [2_000, 20_000]
    return uvloop.run(_measure(server.url, sizes, bench.size(200, 5)))


async def _measure(url: str, sizes: list[int], samples: int) -> list[Figure]:
    async with open_log(url) as log:
        await Segments(log.database, DAYS_A_SIZE * len(sizes) + 1).ensure()
        fleet = await new_fleet(log)
        taken: dict[int, Sample] = {}
        stored = 0
        for size in sizes:
            await asyncio.to_thread(_fill, url, fleet.ws, stored + 1, size)
            stored = size
            taken[size] = await _sample(fleet, size, samples)
    figures = []
    for name, label in (
        ("append", f"append {BATCH} facts"),
        ("page", f"a page of {PAGE} from anywhere"),
        ("stream", f"the {EVENTS_OF_A_STREAM} facts of one attempt"),
    ):
        first = percentile(getattr(taken[sizes[0]], name), 0.5)
        figures += [
            timed(
                f"{label}, {size:,} stored",
                getattr(sample, name),
                yardstick=first,
                yardstick_is=f"at {sizes[0]:,}",
                goal=FLAT if size != sizes[0] else None,
            )
            for size, sample in taken.items()
        ]
    return figures


async def _sample(fleet: Fleet, size: int, samples: int) -> Sample:
    reader = Reader(fleet.log.database)
    epoch = (await reader.head(fleet.ws)).cursor.epoch
    fleet.session = await fleet.open_session()  # the lease of the last one ran out meanwhile
    run, facts, chosen = await fleet.granted_run(), log_facts(), random.Random(size)
    seq = iter(range(1, 1 << 40, BATCH))

    async def append() -> None:
        verdict = await fleet.report(run, 1, next(seq), facts)
        assert verdict.verdict == "ok", verdict

    async def page() -> None:
        after = Cursor(epoch, chosen.randrange(size - PAGE))
        assert len(await reader.read(fleet.ws, after, PAGE)) == PAGE

    async def stream() -> None:
        id_ = UUID(int=chosen.randrange(size // EVENTS_OF_A_STREAM - 1) + 1)
        of_attempt = Stream(StreamKind.ATTEMPT, id_, 1)
        assert len(await reader.read_stream(fleet.ws, of_attempt)) == EVENTS_OF_A_STREAM

    return Sample(*[await _timed(call, samples) for call in (append, page, stream)])


async def _timed(call: Callable[[], Awaitable[None]], samples: int) -> list[float]:
    took = []
    for _ in range(samples + 3):  # the first few prepare plans
        begun = time.perf_counter()
        await call()
        took.append((time.perf_counter() - begun) * 1e3)
    return took[3:]


def _fill(url: str, ws: int, first: int, last: int) -> None:
    """Put events number `first` to `last` behind the head, a tenth of them in each of ten further days."""
    values = {
        "ws": ws,
        "first": first,
        "count": last - first + 1,
        "last": last,
        "each": EVENTS_OF_A_STREAM,
        "days": DAYS_A_SIZE,
        "payload": log_facts()[0].payload,
    }
    with psycopg.connect(url, autocommit=True, options="-c search_path=headway") as connection:
        connection.execute("SET synchronous_commit = off")
        for statement in (_EVENTS, _SEGMENTS, _HEAD):
            connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE event")
        connection.execute("CHECKPOINT")


_EVENTS = """
INSERT INTO event
SELECT h.ws, h.seg + 1 + (n - %(first)s) * %(days)s / %(count)s, h."offset" + n - %(first)s + 1, h.epoch, 7, lpad(to_hex((n - 1) / %(each)s + 1), 32, '0')::uuid, 1,
       (n - 1) %% %(each)s + 1, 'CallEnded', 1, lpad(to_hex(n), 32, '0')::uuid, now(), h.recorded_at, 'agent/of-the-fill', NULL, '', %(payload)s, h.chain
FROM workspace_head h, generate_series(%(first)s::bigint, %(last)s) AS n WHERE h.ws = %(ws)s
"""
_SEGMENTS = """
INSERT INTO segment_index SELECT e.ws, e.seg, min(e."offset") FROM event e, workspace_head h
WHERE h.ws = %(ws)s AND e.ws = h.ws AND e.seg > h.seg GROUP BY 1, 2
"""
_HEAD = """UPDATE workspace_head SET "offset" = "offset" + %(count)s, seg = seg + %(days)s WHERE ws = %(ws)s"""
