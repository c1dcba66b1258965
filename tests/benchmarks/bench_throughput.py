"""Many no-op runs at eight slots, each in a process of its own or in one of a few that are kept (`isolation = reuse`), from
the first call of the API to the last end.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass

import psycopg

from benchmarks.bench import Bench, fork_ms, sync_ms
from benchmarks.client import Client
from benchmarks.report import Figure, Goal, percentile
from benchmarks.usage import attempt_cpu, cpu_by_part, kept_cpu
from support.stack import Stack, local_database_url

SUMMARY = "no-op runs a second with 8 slots, a process a run and in kept processes"
_SUBMITTERS = 2
_OPEN = "SELECT count(*) FROM headway.run WHERE ended_at IS NULL"
_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
_WRITES = "SELECT pg_current_xact_id()::text::bigint"
_STATISTICS_SECONDS = 11  # after that even an idle connection has told what it did


def measure(bench: Bench) -> list[Figure]:
    raw_ms = [2 * fork_ms() + sync_ms(bench.folder) for _ in range(bench.size(100, 5))]
    syncs_ms = [2 * sync_ms(bench.folder) for _ in range(bench.size(100, 5))]
    fresh = _measured(bench, "nothing")
    kept = _measured(bench, "nothing-kept")
    kept.cpu["agent"] -= kept.cpu["kept"]  # supervisors and flows that live are below it
    attempt = attempt_cpu(bench.folder / "attempts", bench.size(100, 2)) * 1e3
    fresh.cpu["supervisor and flow"] = attempt
    kept.cpu["supervisor and flow"] = kept.cpu.pop("kept")
    fresh.cpu.pop("kept")
    fresh.cpu["sum"] = fresh.cpu.pop("all") + attempt
    kept.cpu["sum"] = kept.cpu.pop("all")
    return [
        Figure(
            "no-op runs a second",
            "1/s",
            fresh.rate,
            yardstick=1e3 / percentile(raw_ms, 0.5),
            yardstick_is="2 forks + fdatasync, one after another",
            goal=Goal(60, at_least=True),
            note=fresh.spent,
        ),
        Figure("the same, the next goal", "1/s", fresh.rate, goal=Goal(100, at_least=True)),
        Figure("CPU of a run, all processes", "ms", fresh.cpu["sum"]),
        Figure("writing transactions a run", "", fresh.writes),
        Figure("transactions a run, reading ones and looks included", "", fresh.commits),
        Figure(
            "no-op runs a second, isolation = reuse",
            "1/s",
            kept.rate,
            yardstick=1e3 / percentile(syncs_ms, 0.5),
            yardstick_is="2 fdatasync, one after another",
            goal=Goal(300, at_least=True),
            note=kept.spent,
        ),
        Figure("CPU of a run, all processes, isolation = reuse", "ms", kept.cpu["sum"]),
    ]


@dataclass
class _Measured:
    """Of one run: CPU in milliseconds by part, transactions. `rate`: runs a second."""

    rate: float
    cpu: dict[str, float]
    writes: float
    commits: float

    @property
    def spent(self) -> str:
        return f"CPU ms a run: {', '.join(f'{part} {ms:.1f}' for part, ms in self.cpu.items())}"


def _measured(bench: Bench, deployment: str) -> _Measured:
    stack, runs = bench.stack, bench.size(600, 6)
    settle = bench.size(_STATISTICS_SECONDS, 0)
    _drive(stack, deployment, bench.size(16, 2))
    with psycopg.connect(local_database_url(stack.home), autocommit=True) as connection:

        def number(statement: str) -> int:
            row = connection.execute(statement).fetchone()
            assert row is not None
            return row[0]

        time.sleep(settle)
        commits, writes, before = number(_COMMITS), number(_WRITES), _cpu(stack)
        begun = time.perf_counter()
        _drive(stack, deployment, runs, lambda: number(_OPEN) == 0)
        took = time.perf_counter() - begun
        used = {part: (after - before[part]) / runs * 1e3 for part, after in _cpu(stack).items()}
        # The look itself counts as one; so does writing's own number.
        writes = number(_WRITES) - writes - 1
        time.sleep(settle)
        commits = number(_COMMITS) - commits
    return _Measured(runs / took, used, writes / runs, commits / runs)


def _cpu(stack: Stack) -> dict[str, float]:
    return {**cpu_by_part(stack), "kept": kept_cpu(stack)}


def _drive(stack: Stack, deployment: str, runs: int, all_ended=None) -> None:
    """Submit runs and wait until none is open."""

    def submit(count: int) -> None:
        with closing(Client(stack.api.url, stack.api.token)) as client:
            for _ in range(count):
                client("POST", "/runs", {"deployment": deployment, "parameters": {}})

    threads = [
        threading.Thread(target=submit, args=(runs // _SUBMITTERS,)) for _ in range(_SUBMITTERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 300
    while not (all_ended() if all_ended else _none_open(stack)):
        assert time.monotonic() < deadline, "runs do not end"
        time.sleep(0.02)


def _none_open(stack: Stack) -> bool:
    open_states = "state=scheduled&state=pending&state=running"
    return not stack.api("GET", f"/runs?{open_states}&limit=1")["items"]
