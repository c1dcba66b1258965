"""7, single holder: at no moment do two agents hold one run, nor one agent two attempts of it.

An agent *holds* an attempt while all three are so: it executes it (the process lives, or is about to start), it may
trust its lease, and it has not been told that a newer attempt took over. Whether that is so is read from the agents' lease histories
alone (`headway_agent.loops.lease_history`), which count on the machine's boot-time clock: each line stands until the same
agent's next one, and no longer than the trust that it tells of. An agent that was stopped or killed wrote no more lines, so its last
one counts until its trust ends: it might go on at any moment.

What is not promised: that user code of an agent that lost its lease stops. It goes on and its facts come late; that is why
a holder is who may trust a lease, not who has a process.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.stack import LEASE_HISTORY

Lines = list[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Held:
    """An agent held an attempt from one moment to another."""

    run: str
    fence: int
    agent: str
    begin: float
    end: float

    def __str__(self) -> str:
        return f"attempt {self.fence} by agent {self.agent} from {self.begin:.3f} to {self.end:.3f}"


def histories(states: Iterable[Path]) -> list[Lines]:
    """The lease history of each state directory. A line that a kill or a full disk has torn is none."""
    return [_lines(state / LEASE_HISTORY) for state in states]


def held(lines: Lines) -> Iterator[Held]:
    """What one agent held, in the order of its lines."""
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        end = line["trusted_until"]
        if end is None:
            continue
        if following is not None:
            end = min(end, following["at"])
        if end > line["at"]:
            for run, fence in line["attempts"]:
                yield Held(run, fence, line["agent"], line["at"], end)


def violations(told: Iterable[Lines], runs: Iterable[str]) -> list[str]:
    """Where two held one of these runs, and runs that nobody ever held: then the histories prove nothing."""
    by_run: dict[str, list[Held]] = defaultdict(list)
    for lines in told:
        for each in held(lines):
            by_run[each.run].append(each)
    found = [
        f"run {run} was held by nobody that kept a history" for run in runs if run not in by_run
    ]
    for run, holders in by_run.items():
        found += [f"run {run} had two holders: {one}, {other}" for one, other in _overlaps(holders)]
    return found


def _overlaps(holders: list[Held]) -> Iterator[tuple[Held, Held]]:
    """Each pair of neighbours in time that are not one and the same attempt on one agent."""
    latest: dict[tuple[str, int], Held] = {}
    for each in sorted(holders, key=lambda h: h.begin):
        for key, other in latest.items():
            if key != (each.agent, each.fence) and other.end > each.begin:
                yield other, each
        mine = latest.get((each.agent, each.fence))
        if mine is None or each.end > mine.end:
            latest[each.agent, each.fence] = each


def _lines(path: Path) -> Lines:
    if not path.exists():
        return []
    whole = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            whole.append(json.loads(line))
    return whole
