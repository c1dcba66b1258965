"""Which run directories may go. A journal is kept while another attempt may need it, and of a run that has ended for a week:
somebody may resume it, retry a step of it, or rerun it from one. Acknowledged facts are asked for again by a control plane that
was restored from a backup.

Of a run that ended elsewhere, or while this agent was away, nobody tells us: its journal is kept for `UNTOLD_US`. Should
it go on here after that, its tasks are executed again.
"""

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headway_agent.spool.frames import writer_alive

KEEP_US = 7 * 24 * 3_600 * 1_000_000
# Beyond so many runs only this long: each is held in memory.
KEEP_RUNS = 10_000
LEAST_US = 15 * 60 * 1_000_000
KEEP_BYTES = 512 << 20
UNTOLD_US = 30 * 24 * 3_600 * 1_000_000


LOW_PART = 20
"""A disk with less than this part of it free, and less than `KEEP_BYTES`, is low: what is kept for a while goes at once."""


class Ended(Protocol):
    """What is asked of an attempt."""

    @property
    def is_held(self) -> bool: ...
    @property
    def closed_at_us(self) -> int | None: ...
    @property
    def forgotten_at_us(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A terminal run of which no attempt is open here; `since_us`: when the last of that became true."""

    run: str
    since_us: int
    size: int


def is_over(attempts: Collection[Ended], now_us: int) -> bool:
    """Nothing of the run lives or waits here, and it is terminal, or we have heard nothing of it for very long."""
    if any(attempt.is_held for attempt in attempts):
        return False
    if all(attempt.forgotten_at_us is not None for attempt in attempts):
        return True
    return now_us - max(attempt.closed_at_us or now_us for attempt in attempts) >= UNTOLD_US


def choose(
    kept: Iterable[KeptRun],
    now_us: int,
    *,
    keep_us: int = KEEP_US,
    keep_bytes: int = KEEP_BYTES,
    keep_runs: int = KEEP_RUNS,
) -> list[str]:
    """The runs to delete: those old enough, then the oldest until the rest fits."""
    newest_first = sorted(kept, key=lambda run: run.since_us, reverse=True)
    chosen = []
    total = 0
    for count, run in enumerate(newest_first, 1):
        total += run.size
        age_us = now_us - run.since_us
        too_many = count > keep_runs and age_us >= LEAST_US
        if age_us >= keep_us or total > keep_bytes or too_many:
            chosen.append(run.run)
    return chosen


def is_low(directory: Path) -> bool:
    """Whether facts that are still to come may soon find no room."""
    usage = shutil.disk_usage(directory)
    return usage.free < min(usage.total // LOW_PART, KEEP_BYTES)


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def delete_run(directory: Path) -> None:
    """Deletes a run's directory whole: under another name first, so that half of it is never taken for a run."""
    going = directory.with_name(f".deleted-{directory.name}")
    if directory.exists():
        shutil.rmtree(going, ignore_errors=True)  # what an earlier try left has the name
        directory.rename(going)
    shutil.rmtree(going, ignore_errors=True)  # what is left is tried again at the next start


def delete_leftovers(runs: Path) -> None:
    for going in runs.glob(".deleted-*"):
        shutil.rmtree(going, ignore_errors=True)


def delete_strangers(runs: Path, known: Collection[str], now_us: int) -> None:
    """Deletes old directories that agent.db does not know: a new one took the place of a lost one."""
    for directory in runs.iterdir():
        if directory.name in known or directory.name.startswith(".") or not directory.is_dir():
            continue
        logs = list(directory.glob("*/frames.log"))
        touched_us = max(path.stat().st_mtime_ns // 1_000 for path in (directory, *logs))
        if now_us - touched_us >= UNTOLD_US and not any(map(writer_alive, logs)):
            delete_run(directory)
