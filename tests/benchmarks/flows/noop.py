"""Flows that do nothing but tell when they were reached."""

import json
import os
import socket
import time
from pathlib import Path

from headway import flow, task


@flow
def clocked(fifo: str) -> None:
    now = time.monotonic_ns()
    descriptor = os.open(fifo, os.O_WRONLY)
    os.write(descriptor, b"%d\n" % now)
    os.close(descriptor)


@flow
def nothing() -> None:
    pass


@task
def noop(n: int) -> int:
    return n


@flow
def many_calls(path: str, rounds: int, calls: int) -> None:
    """Time calls one by one, and in turns with them what a call can't do without: one frame encoded and sent."""
    measured: dict[str, list[int]] = {"calls": [], "sends": []}
    for n in range(rounds):
        measured["calls"] += [
            _timed(lambda i=i: noop(i)) for i in range(n * calls, (n + 1) * calls)
        ]
        measured["sends"] += _sends(calls)
    Path(path).write_text(json.dumps(measured))


def _timed(work) -> int:
    begun = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - begun


def _sends(count: int) -> list[int]:
    ours, theirs = socket.socketpair()
    frame = {
        "type": "call.ended", "at_us": time.time_ns() // 1000, "call": "0" * 32, "parent": "root", "kind": "task",
        "name": "noop", "started_at_us": time.time_ns() // 1000, "outcome": "completed", "tries": 1,
        "result": {"codec": "json", "size_bytes": 1, "digest": "0" * 64, "inline": "1"},
    }  # fmt: skip
    took = []
    with ours, theirs:
        for _ in range(count):
            took.append(
                _timed(lambda: ours.sendall(json.dumps(frame, separators=(",", ":")).encode()))
            )
            theirs.recv(65536)
    return took
