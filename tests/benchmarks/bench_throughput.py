"""Many no-op runs at eight slots, each in a process of its own, from the first call of the API to the last end."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import psycopg

from benchmarks.bench import Bench, fork_ms, sync_ms
from benchmarks.client import Client
from benchmarks.report import Figure, Goal, percentile
from benchmarks.usage import attempt_cpu, cpu_by_part
from support.stack import Stack, local_database_url

SUMMARY = "no-op runs a second with 8 slots, a process a run"
_SUBMITTERS = 2
_OPEN = "SELECT count(*) FROM headway.run WHERE ended_at IS NULL"
_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
_WRITES = "SELECT pg_current_xact_id()::text::bigint"
_STATISTICS_SECONDS = 11  # after that even an idle connection has told what it did


def measure(bench: Bench) -> list[Figure]:
    stack, runs = bench.stack, bench.size(600, 6)
    settle = bench.size(_STATISTICS_SECONDS, 0)
    raw_ms = [2 * fork_ms() + sync_ms(bench.folder) for _ in range(bench.size(100, 5))]
    _drive(stack, bench.size(16, 2))
    url = local_database_url(stack.home)
    with psycopg.connect(url, autocommit=True) as connection:

        def number(statement: str) -> int:
            row = connection.execute(statement).fetchone()
            assert row is not None
            return row[0]

        time.sleep(settle)
        commits, writes = number(_COMMITS), number(_WRITES)
        cpu = cpu_by_part(stack)
        begun = time.perf_counter()
        _drive(stack, runs, lambda: number(_OPEN) == 0)
        took = time.perf_counter() - begun
        used = {
            part: (after - cpu[part]) / runs * 1e3 for part, after in cpu_by_part(stack).items()
        }
        # The look itself counts as one; so does writing's own number.
        writes = number(_WRITES) - writes - 1
        time.sleep(settle)
        commits = number(_COMMITS) - commits
    raw = 1e3 / percentile(raw_ms, 0.5)
    attempt = attempt_cpu(bench.folder / "attempts", bench.size(100, 2)) * 1e3
    used["supervisor and flow"] = attempt
    used["sum"] = used.pop("all") + attempt
    spent = ", ".join(f"{part} {ms:.1f}" for part, ms in used.items())
    return [
        Figure(
            "no-op runs a second",
            "1/s",
            runs / took,
            yardstick=raw,
            yardstick_is="2 forks + fdatasync, one after another",
            goal=Goal(60, at_least=True),
            note=f"CPU ms a run: {spent}",
        ),
        Figure("the same, the next goal", "1/s", runs / took, goal=Goal(100, at_least=True)),
        Figure("CPU of a run, all processes", "ms", used["sum"]),
        Figure("writing transactions a run", "", writes / runs),
        Figure("transactions a run, reading ones and looks included", "", commits / runs),
    ]


def _drive(stack: Stack, runs: int, all_ended=None) -> None:
    """Submit runs and wait until none is open."""

    def submit(count: int) -> None:
        with closing(Client(stack.api.url, stack.api.token)) as client:
            for _ in range(count):
                client("POST", "/runs", {"deployment": "nothing", "parameters": {}})

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
