"""A task that does nothing, called in a flow process with its supervisor and journal behind it."""

from __future__ import annotations

import json

from benchmarks.bench import Bench
from benchmarks.report import Figure, Goal, percentile, timed

SUMMARY = "one no-op task call, beside encoding and sending one frame"


def measure(bench: Bench) -> list[Figure]:
    path = bench.folder / "calls.json"
    parameters = {"path": str(path), "rounds": bench.size(10, 1), "calls": bench.size(1_000, 50)}
    run = bench.stack.start_run("many_calls", **parameters)
    ended = bench.stack.ended(run)
    assert ended["state"] == "completed", ended
    measured = json.loads(path.read_text())
    calls = [each / 1e3 for each in measured["calls"]]
    sends = [each / 1e3 for each in measured["sends"]]
    yardstick = percentile(sends, 0.5)
    figure = timed(
        "no-op task call",
        calls,
        "us",
        goal=Goal(100),
        yardstick=yardstick,
        yardstick_is="json.dumps + send",
    )
    return [figure]
