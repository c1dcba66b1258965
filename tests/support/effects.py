"""Reads what flows left behind and says whether it is what the rules predict.

The rule (DESIGN, 7): a body is executed again in a later attempt only if no earlier attempt's `frames.log` holds its completion. So, for
each attempt, the calls whose bodies ran are disjoint from those that earlier attempts on the same agent had durably completed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from headway.runtime.frames_log import read


@dataclass(frozen=True)
class Mark:
    run: str
    fence: int
    what: str
    call: str
    try_number: int


def marks(path: Path) -> list[Mark]:
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        Mark(line["run"], line["fence"], line["what"], line["call"], line["try"]) for line in lines
    ]


def seen(path: Path) -> set[str]:
    """What marks say was executed."""
    return {mark.what for mark in marks(path)}


def completed_calls(run_directory: Path) -> set[str]:
    """Calls that an attempt's file holds as completed."""
    return {
        frame["call"]
        for _, frame in read(run_directory / "frames.log")
        if frame["type"] == "call.ended" and frame["outcome"] in {"completed", "skipped"}
    }


def violations(path: Path, run_directories: dict[int, Path], expected: set[str]) -> list[str]:
    """What contradicts the rules: `expected` are all marks a whole run leaves, `run_directories` the attempts' by fence."""
    found = []
    made = marks(path)
    executed = {mark.what for mark in made}
    found += [f"{what} was never executed" for what in sorted(expected - executed)]
    found += [
        f"{what} was executed but is not part of the flow" for what in sorted(executed - expected)
    ]
    twice = Counter((m.fence, m.call, m.what, m.try_number) for m in made)
    found += [
        f"{what} ran {n} times in attempt {fence}, try {t}"
        for (fence, _, what, t), n in twice.items()
        if n > 1
    ]
    journals: dict[Path | None, set[str]] = {}
    for fence in sorted({m.fence for m in made} | set(run_directories)):
        # Another agent cannot know what this one's files hold.
        done = journals.setdefault(_journal(run_directories, fence), set())
        again = {m.what for m in made if m.fence == fence and m.call in done}
        found += [
            f"{what} was executed again in attempt {fence} although the journal held it"
            for what in sorted(again)
        ]
        if fence in run_directories and (run_directories[fence] / "frames.log").exists():
            done |= completed_calls(run_directories[fence])
    return found


def _journal(run_directories: dict[int, Path], fence: int) -> Path | None:
    return run_directories[fence].parent if fence in run_directories else None


MANY_STEPS = (
    {"flow", "add"}
    | {f"step-{n}" for n in range(12)}
    | {f"flaky-{n}" for n in range(2)}
    | {f"step-{100 + n}" for n in range(3)}
    | {f"step-{200 + n}" for n in range(6)}
)
