"""One map of no-op tasks, from a thousand to a hundred thousand: how long, how large, and what it leaves behind."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from benchmarks.bench import FLOWS, Bench
from benchmarks.report import Figure, Goal
from support.stack import Stack, local_database_url

SUMMARY = "a map of 1,000, 10,000 and 100,000 no-op calls: time, memory, events, rows, bytes"
_SIZES = (1_000, 10_000, 100_000)
_LEFT = """
SELECT (SELECT count(*) FROM headway.event), (SELECT coalesce(sum(length(payload)), 0) FROM headway.event),
       (SELECT count(*) FROM headway.task_timeline)
"""


def measure(bench: Bench) -> list[Figure]:
    stack = bench.stack
    stack.deploy("maps:mapped", "mapped", root=FLOWS)
    figures = []
    with psycopg.connect(local_database_url(stack.home), autocommit=True) as connection:
        for items in _SIZES[: bench.size(len(_SIZES), 1)]:
            figures += _measure(stack, connection, items)
    stack.deploy("maps:mapped_and_failed", "mapped-and-failed", root=FLOWS)
    return [*figures, _resume(stack, bench.folder / "broken", bench.size(10_000, 1_000))]


def _resume(stack: Stack, broken: Path, items: int) -> Figure:
    """From the beginning of the supervisor to that of the first call that the journal does not have."""
    took = []
    for _ in range(3):
        broken.touch()
        run = stack.start_run("mapped-and-failed", items=items, broken=str(broken))
        assert stack.ended(run)["state"] == "failed"
        broken.unlink()
        made = stack.api(
            "POST", f"/runs/{run}/fork", {"verb": "resume", "call": "", "parameters": {}}
        )
        assert stack.ended(made["id"])["state"] == "completed"
        frames = stack.frames(made["id"], 1)
        first = next(f for f in frames if f["type"] == "call.ended" and f["name"] == "last")
        took.append((first["started_at_us"] - frames[0]["at_us"]) / 1e6)
    return Figure(
        f"resume of {items:,} calls, to the first new one", "s", sorted(took)[1], goal=Goal(0.5)
    )


def _measure(stack: Stack, connection: psycopg.Connection, items: int) -> list[Figure]:
    def left() -> tuple[int, ...]:
        row = connection.execute(_LEFT).fetchone()
        assert row is not None
        return tuple(map(int, row))

    before = left()
    begun = time.perf_counter()
    run = stack.start_run("mapped", items=items)
    ended = stack.ended(run, seconds=600)
    took = time.perf_counter() - begun
    assert ended["state"] == "completed", ended
    while stack.api("GET", f"/runs/{run}")["tasks"]["completed"] < items:
        assert time.perf_counter() - begun < 1200, "the sums never came"
        time.sleep(0.02)
    counted = time.perf_counter() - begun
    events, payload, rows = (now - then for now, then in zip(left(), before, strict=True))
    log = stack.home.glob(f"**/runs/{run}/*/frames.log")
    name = f"{items:,} calls"
    return [
        Figure(name, "s", took, goal=Goal(20) if items == _SIZES[-1] else None),
        Figure(f"{name}: until the sums are whole", "s", counted),
        Figure(
            f"{name}: memory of the flow",
            "MB",
            int(ended["result"]["preview"]) / 1024,
            goal=Goal(300) if items == _SIZES[-1] else None,
        ),
        Figure(f"{name}: events", "", events),
        Figure(f"{name}: rows", "", rows),
        Figure(f"{name}: frames.log", "kB", sum(path.stat().st_size for path in log) / 1e3),
        Figure(f"{name}: payloads on the wire", "kB", payload / 1e3),
    ]
