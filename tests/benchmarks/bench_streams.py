"""Thousands of agents connected to one control plane, then all cut and back at once; a run's start beside them."""

from __future__ import annotations

import time

import psutil

from benchmarks.bench import FLOWS, Bench
from benchmarks.report import Figure, Goal, percentile, timed
from benchmarks.usage import tree_cpu
from support.hand_agent import make_pool
from support.memory import MEBIBYTE
from support.stack import Stack, stack
from support.storm import Returned, Storm

SUMMARY = (
    "2,000 agent streams: coming, being there, a storm of reconnects; a run's start beside them"
)
# Leases that two cores can renew for so many agents beside being those agents.
TERMS = {"HEADWAY_LEASE_TTL": "30", "HEADWAY_RENEW_INTERVAL": "10"}


def measure(bench: Bench) -> list[Figure]:
    agents, seconds, runs = (
        bench.size(2_000, 40),
        bench.size(10, 1),
        bench.size(50, 3),
    )
    with stack(bench.folder / "streams", root=FLOWS, pace=TERMS) as headway:
        make_pool(headway, "storm")
        headway.deploy("noop:nothing", "nothing", root=FLOWS)
        server = headway.part("server")
        alone = _starts(headway, runs)
        memory = _resident(server)
        with Storm(f"127.0.0.1:{headway.grpc_port}", headway.api, "storm", agents) as storm:
            first = storm.connect()
            held = (_resident(server) - memory) / agents
            cpu = _idle(headway, seconds)
            beside = _starts(headway, runs)
            storm.cut()
            again = storm.connect()
    return [
        *_came("first", first, agents),
        Figure("memory of the server a stream", "KiB", held * 1024, goal=Goal(512)),
        Figure("CPU of server and database, all connected and idle", "% of a core", cpu),
        timed(
            "a no-op run beside them, from POST to its end",
            beside,
            yardstick=percentile(alone, 0.5),
            yardstick_is="without them",
            goal=Goal(3, of_yardstick=True),
        ),
        *_came("all cut, and back", again, agents),
    ]


def _came(when: str, returned: Returned, agents: int) -> list[Figure]:
    told = ", ".join(f"{code} x{count}" for code, count in sorted(returned.refused.items()))
    return [
        Figure(f"{when}: agents welcomed", "", len(returned.seconds), goal=Goal(agents, at_least=True)),
        timed(
            f"{when}: a session after",
            list(returned.seconds),
            "s",
            goal=Goal(60),
            judged=returned.percentile(0.99),
            note=f"put off: {told or 'none'}",
        ),
    ]  # fmt: skip


def _starts(headway: Stack, runs: int) -> list[float]:
    took = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        headway.ended(headway.start_run("nothing"))
        took.append((time.perf_counter() - begun) * 1e3)
    return took[1:]  # the first one waits for the template


def _idle(headway: Stack, seconds: float) -> float:
    def used() -> float:
        return sum(tree_cpu(headway.part(name).pid) for name in ("server", "postgres"))

    cpu = used()
    time.sleep(seconds)
    return (used() - cpu) / seconds * 100


def _resident(process: psutil.Process) -> float:
    return process.memory_info().rss / MEBIBYTE
