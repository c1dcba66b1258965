"""One run into an idle system: from the call of the API to the first line of the flow, and to Completed at the API."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

from benchmarks.bench import Bench, elapsed_ms, python_start_ms
from benchmarks.client import Client
from benchmarks.report import Figure, Goal, percentile, timed
from support.stack import TERMINAL, Stack

SUMMARY = "POST /runs to the first line of the flow: process kept (reuse), template alive (warm) and not yet started (cold)"


def measure(bench: Bench) -> list[Figure]:
    stack = bench.stack
    fifo = bench.folder / "first-line"
    os.mkfifo(fifo)
    with closing(Client(stack.api.url, stack.api.token)) as client:
        kept = [_sample(client, fifo, "clocked-kept") for _ in range(bench.size(65, 3))][-60:]
        for _ in range(bench.size(5, 1)):
            _sample(client, fifo)
        starts: list[float] = []
        warm = []
        for _ in range(bench.size(60, 2)):
            warm.append(_sample(client, fifo))
            starts.append(python_start_ms())
        cold = []
        for _ in range(bench.size(12, 1)):
            _forget_template(stack)
            cold.append(_sample(client, fifo)[1])
    posted, reached, completed = (list(column) for column in zip(*warm, strict=True))
    start = {"yardstick": percentile(starts, 0.5), "yardstick_is": "python -c pass"}
    return [
        timed("POST /runs answered", posted),
        timed("POST /runs to first line, warm", reached, goal=Goal(30), **start),
        timed("POST /runs to Completed at the API, warm", completed, **start),
        timed("POST /runs to first line, reuse", [each[1] for each in kept], goal=Goal(7), **start),
        timed("POST /runs to Completed at the API, reuse", [each[2] for each in kept], **start),
        timed("POST /runs to first line, cold", cold, goal=Goal(300), **start),
    ]


def _sample(client: Client, fifo: Path, deployment: str = "clocked") -> tuple[float, float, float]:
    """Milliseconds from the call to its answer, to the first line, to Completed."""
    asked = time.monotonic_ns()
    run: dict = {}
    took = elapsed_ms(
        lambda: run.update(
            client("POST", "/runs", {"deployment": deployment, "parameters": {"fifo": str(fifo)}})
        )
    )
    with fifo.open() as end:
        reached = int(end.read())
    while client("GET", f"/runs/{run['id']}")["state"] not in TERMINAL:
        pass
    completed = time.monotonic_ns()
    time.sleep(0.05)  # the next one finds an idle system
    return took, (reached - asked) / 1e6, (completed - asked) / 1e6


def _forget_template(stack: Stack) -> None:
    """A changed environments.toml makes the agent start a new template."""
    os.utime(stack.home / "agent" / "environments.toml")
