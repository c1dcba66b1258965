"""Many subscribers of one workspace's events, while an agent's facts come in at a steady pace."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil
import uvloop

from benchmarks.bench import Bench
from benchmarks.facts import log_facts
from benchmarks.report import Figure, Goal
from benchmarks.usage import own_cpu
from headway_control_plane.http_api.services import HttpOptions
from support.http_server import Api, enrol, serve_api

SUMMARY = "1 and 100 subscribers of the event stream: deliveries a second, delay, CPU of a delivery"
COUNTS = (1, 100)
FACTS, PAUSE = 20, 0.1  # 200 events a second go in


@dataclass(frozen=True, slots=True)
class Load:
    subscribers: int
    events: int
    seconds: float
    p50: float
    p95: float
    cpu: float
    grown: float


def measure(bench: Bench) -> list[Figure]:
    server = bench.database("subscribers")
    return uvloop.run(_measure(server.url, bench.size(8, 1)))


async def _measure(url: str, seconds: float) -> list[Figure]:
    async with serve_api(url, options=HttpOptions(streams_of_workspace=max(COUNTS) + 1)) as api:
        made = await api.one.deploy("nightly")
        api.one.fleet.deployment = UUID(made["id"])
        await enrol(api.one)
        loads = [await _load(api, count, seconds) for count in COUNTS]
    first = loads[0]
    figures = []
    for load in loads:
        goal = Goal(1_000) if load is not first else None
        figures += [
            Figure(
                f"{load.subscribers} subscribers: from the log's time to the delivery",
                "ms",
                load.p50,
                load.p95,
                first.p50,
                "one subscriber",
                goal,
                load.p95,
            ),
            Figure(
                f"{load.subscribers} subscribers: deliveries", "1/s", load.events / load.seconds
            ),
            Figure(
                f"{load.subscribers} subscribers: CPU of a delivery, server",
                "us",
                load.cpu / load.events * 1e6,
            ),
            Figure(f"{load.subscribers} subscribers: memory grown", "MB", load.grown),
        ]
    return figures


async def _load(api: Api, subscribers: int, seconds: float) -> Load:
    fleet = api.one.fleet
    head = (await api.services.reader.head(api.one.ws)).cursor
    host, _, port = api.url.removeprefix("http://").partition(":")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("load_subscribers.py")),
        host, port, api.one.key, str(subscribers), str(head),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    memory = psutil.Process().memory_info().rss
    run, facts, seq = await fleet.granted_run(), log_facts()[:FACTS], 1
    cpu, began = own_cpu(), time.time()
    while time.time() - began < seconds:
        await fleet.report(run, 1, seq, facts)
        seq += FACTS
        await asyncio.sleep(PAUSE)
    end = (await api.services.reader.head(api.one.ws)).cursor
    process.stdin.write(f"{end.offset}\n".encode())
    # A last event, for subscribers that have seen everything else and look for the goal when something comes.
    await fleet.report(run, 1, seq, facts[:1])
    told = json.loads(await process.stdout.readline())
    await process.communicate()
    grown = (psutil.Process().memory_info().rss - memory) / 1e6
    return Load(
        subscribers, told["events"], told["ended_at"] - began, told["p50"], told["p95"], own_cpu() - cpu, grown
    )  # fmt: skip
