"""Which run directories may go. A journal is kept while another attempt may need it, acknowledged facts for a while longer:
a control plane that was restored from a backup asks for them again.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KEEP_US = 15 * 60 * 1_000_000
KEEP_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A terminal run of which no attempt is open here; `since_us`: when the last of that became true."""

    run: str
    since_us: int
    size: int


def choose(
    kept: Iterable[KeptRun], now_us: int, *, keep_us: int = KEEP_US, keep_bytes: int = KEEP_BYTES
) -> list[str]:
    """The runs to delete: those old enough, then the oldest until the rest fits."""
    newest_first = sorted(kept, key=lambda run: run.since_us, reverse=True)
    chosen = []
    total = 0
    for run in newest_first:
        total += run.size
        if now_us - run.since_us >= keep_us or total > keep_bytes:
            chosen.append(run.run)
    return chosen


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def delete_run(directory: Path) -> None:
    """Deletes a run's directory whole: under another name first, so that half of it is never taken for a run."""
    going = directory.with_name(f".deleted-{directory.name}")
    if directory.exists():
        directory.rename(going)
    shutil.rmtree(going, ignore_errors=True)  # what is left is tried again at the next start


def delete_leftovers(runs: Path) -> None:
    for going in runs.glob(".deleted-*"):
        shutil.rmtree(going, ignore_errors=True)
