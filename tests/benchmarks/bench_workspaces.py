"""A replica with few and with very many workspaces: what does it cost to have them, and does one of them get slower?"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from uuid import UUID

import psycopg
import uvloop

from benchmarks.bench import Bench, Server
from benchmarks.report import Figure, Goal, percentile, timed
from benchmarks.usage import own_cpu, tree_cpu
from headway_control_plane.application.ports import Workspace
from headway_control_plane.ids import Uuid7Source
from headway_control_plane.log.committer import Committer
from support.log_fixtures import Fleet
from support.replica import SchedulingSettings, open_replica

SUMMARY = "start, idle CPU and commands of a replica that serves 100, 1,000 and 10,000 workspaces"
SIZES = (100, 1_000, 10_000)
AT_ONCE = 64
FLAT = Goal(2.0, of_yardstick=True)


@dataclass(frozen=True, slots=True)
class Sample:
    start_ms: float
    idle_cpu: float
    command_ms: list[float]
    commands_a_second: float


def measure(bench: Bench) -> list[Figure]:
    server = bench.database("workspaces")
    sizes = (5, 50) if bench.quick else SIZES
    taken: dict[int, Sample] = {}
    filled = 0
    for size in sizes:
        _fill(server.url, filled + 1, size)
        filled = size
        taken[size] = uvloop.run(
            _sample(server, size, bench.size(5, 1), bench.size(200, 5), bench.size(2_000, 20))
        )
    first = taken[sizes[0]]
    figures = []
    for size, sample in taken.items():
        goal = FLAT if size != sizes[0] else None
        at = f"at {sizes[0]:,}"
        figures += [
            Figure(f"{size:,} workspaces: a replica owns its shards after", "ms", sample.start_ms),
            Figure(
                f"{size:,} workspaces: idle CPU, replica and database",
                "% of a core",
                sample.idle_cpu,
                goal=Goal(5) if size == SIZES[-1] else None,
            ),
            timed(
                f"{size:,} workspaces: create a run in one of them",
                sample.command_ms,
                yardstick=percentile(first.command_ms, 0.5),
                yardstick_is=at,
                goal=goal,
            ),
            Figure(
                f"{size:,} workspaces: runs created by {AT_ONCE} callers all over them",
                "1/s",
                sample.commands_a_second,
                yardstick=first.commands_a_second,
                yardstick_is=at,
                goal=Goal(0.5, at_least=True, of_yardstick=True) if goal else None,
            ),
        ]
    return figures


async def _sample(server: Server, size: int, seconds: float, samples: int, commands: int) -> Sample:
    begun = time.perf_counter()
    async with open_replica(server.url, SchedulingSettings()) as replica:
        start_ms = (time.perf_counter() - begun) * 1e3
        await asyncio.sleep(seconds)  # the first look at everything is part of the start
        cpu = own_cpu() + tree_cpu(server.postmaster)
        await asyncio.sleep(seconds)
        idle = (own_cpu() + tree_cpu(server.postmaster) - cpu) / seconds * 100
        fleets = _fleets(server.url, replica.log, replica.ids)
        chosen = random.Random(size)
        took = []
        for _ in range(samples + 3):
            fleet = chosen.choice(fleets)
            at = time.perf_counter()
            await fleet.create_run()
            took.append((time.perf_counter() - at) * 1e3)
        turns = iter(range(commands))

        async def caller() -> None:
            for _ in turns:
                await chosen.choice(fleets).create_run()

        at = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        rate = commands / (time.perf_counter() - at)
    return Sample(start_ms, idle, took[3:], rate)


def _fleets(url: str, log: Committer, ids: Uuid7Source) -> list[Fleet]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT ws, id, name, shard FROM headway.workspace ORDER BY ws"
        ).fetchall()
    fleets = []
    for row in rows:
        fleet = Fleet(log, Workspace(*row), ids)
        fleet.deployment = UUID(int=fleet.ws)
        fleets.append(fleet)
    return fleets


def _fill(url: str, first: int, last: int) -> None:
    """Workspaces with a pool, a deployment, a connected agent and twenty finished runs each."""
    values = {"first": first, "last": last}
    with psycopg.connect(url, autocommit=True, options="-c search_path=headway") as connection:
        connection.execute("SET synchronous_commit = off")
        for statement in _STATEMENTS:
            connection.execute(statement, values)
        connection.execute("ANALYZE")


_NEW = "FROM workspace w WHERE w.ws BETWEEN %(first)s AND %(last)s"
_ID = "lpad(to_hex(w.ws), 32, '0')::uuid"
_STATEMENTS = (
    """INSERT INTO workspace (id, name, shard) OVERRIDING USER VALUE
       SELECT gen_random_uuid(), 'team-' || n, n %% 1024 FROM generate_series(%(first)s::int, %(last)s) AS n""",
    f"INSERT INTO workspace_head (ws, chain) SELECT w.ws, sha256(w.id::text::bytea) {_NEW}",
    f"INSERT INTO pool SELECT w.ws, {_ID}, 1, 'local', '{{}}', 0, now() {_NEW}",
    f"""INSERT INTO deployment SELECT w.ws, {_ID}, 1, 'nightly', 'nightly', {_ID}, 'default', 'a:b', '', '\\x', '\\x', '', '{{}}', 0, 0, 'retry', 0, 0, now(), now()
       {_NEW}""",
    f"INSERT INTO agent SELECT w.ws, {_ID}, 1, 'agent', {_ID}, '\\x', now(), NULL {_NEW}",
    f"""INSERT INTO session SELECT w.ws, {_ID}, 1, w.shard, 'open', {_ID}, {_ID}, gen_random_uuid(), 'host', '0', 0, now(), NULL, NULL, '', false, now() + interval '1 day'
       {_NEW}""",
    f"""INSERT INTO run SELECT w.ws, gen_random_uuid(), 4, w.shard, 'completed', '', 1, {_ID}, {_ID}, 'nightly', 'a run', '{{}}', 'default', 'a:b', '', '\\x', 3,
       0, 0, 'retry', 0, 0, 0, 0, NULL, now(), now(), now(), now(), '', '\\x', '\\x'
       FROM workspace w, generate_series(1, 20) WHERE w.ws BETWEEN %(first)s AND %(last)s""",
)
