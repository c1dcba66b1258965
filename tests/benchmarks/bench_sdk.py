"""Calls of tasks in every way that flows make them, in a real attempt with supervisor and journal, without agent or server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.bench import FLOWS, Bench
from benchmarks.report import Figure, Goal
from support.attempts import TemplateProcess, template
from support.bare_attempt import run_attempt

SUMMARY = "no-op tasks: called, submitted, gathered, mapped, taken up by a new attempt"
CHILD = "headway.runtime.child:run_attempt"


def measure(bench: Bench) -> list[Figure]:
    with template(child=CHILD) as process:
        attempts = _Attempts(process, bench.folder / "sdk")
        many = bench.size(10_000, 100)
        bare = attempts.of("plain", many)["us"]
        threads = attempts.of("unrecorded", many)["us"]
        figures = [
            _calls(
                "called one by one", attempts.of("sequential", many), Goal(100), bare, "function"
            ),
            _calls(
                "the same without a journal", attempts.of("unsent", many), None, bare, "function"
            ),
            _durable(attempts, bench.size(1_000, 50)),
            _calls(
                "submitted to 16 threads", attempts.of("submitted", many), None, threads, "executor"
            ),
            _calls(
                "mapped over 2 processes", attempts.of("processes", many), None, threads, "executor"
            ),
            _calls("async, gathered", attempts.of("gathered", many), None, bare, "function"),
        ]
        for count in (1_000, 10_000, bench.size(100_000, 1_000)):
            figures += _mapped(attempts, bench.size(count, count // 100), count, threads)
        figures.append(_slope(attempts, bench.size(200_000, 1_000)))
        figures.append(_taken_up(attempts, many))
    return figures


class _Attempts:
    """Attempts of the flows in `flows/authoring.py`, one after the other."""

    def __init__(self, process: TemplateProcess, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._made = 0
        self.seconds = 0.0
        self.log = ""

    def of(self, flow: str, count: int, journal: list[str] | None = None) -> dict[str, Any]:
        self._made += 1
        run_dir = self._folder / str(self._made)
        answer = self._folder / f"{self._made}.json"
        parameters = {"path": str(answer), "count": count}
        last, self.seconds = run_attempt(
            self._process, run_dir, f"authoring:{flow}", FLOWS, parameters, journal
        )
        assert last["outcome"] == "completed", last
        self.log = str(run_dir / "frames.log")
        measured: dict[str, Any] = json.loads(answer.read_text())
        return measured


def _calls(
    what: str, measured: dict[str, Any], goal: Goal | None, yardstick: float, of: str
) -> Figure:
    return Figure(
        f"{what}, each", "us", measured["us"], yardstick=yardstick, yardstick_is=of, goal=goal
    )


def _durable(attempts: _Attempts, count: int) -> Figure:
    measured = attempts.of("durable", count)
    return Figure(
        'called one by one, durable="sync", each',
        "us",
        measured["us"],
        yardstick=measured["sync_us"],
        yardstick_is="write and fdatasync",
    )


def _mapped(attempts: _Attempts, count: int, asked: int, threads: float) -> list[Figure]:
    measured = attempts.of("mapped", count)
    is_most = asked == 100_000
    return [
        Figure(
            f"a map of {count:,}, until all results are there",
            "s",
            measured["us"] * count / 1e6,
            yardstick=threads * count / 1e6,
            yardstick_is="executor",
            goal=Goal(20) if is_most else None,
        ),
        Figure(
            f"a map of {count:,}, more memory",
            "MiB",
            max(0.0, measured["mib"]),
            goal=Goal(300) if is_most else None,
        ),
    ]


def _slope(attempts: _Attempts, count: int) -> Figure:
    """What stays of a call that has ended: that it was made, so that the next equal one is known to be another."""
    grown = max(0.0, attempts.of("slope", count)["mib"]) * 2**20
    return Figure(
        f"memory that stays of each of {count:,} calls",
        "bytes",
        grown / (count * 0.9),
        goal=Goal(128),
    )


def _taken_up(attempts: _Attempts, count: int) -> Figure:
    attempts.of("sequential", count)
    attempts.of("sequential", count, [attempts.log])
    first = attempts.seconds
    empty = attempts.of("sequential", 1) and attempts.seconds
    return Figure(
        f"a new attempt of {count:,} completed calls, start to end",
        "s",
        first,
        yardstick=empty,
        yardstick_is="attempt with one call",
        goal=Goal(0.5),
    )
