"""One attempt as the runner holds it: its files, its supervisor, how far it is acknowledged."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headway_agent.runner import adoption, start_file
from headway_agent.runner.api import Assignment, AttemptKey, AttemptState, Held
from headway_agent.runner.processes import NOBODY, ProcessId
from headway_agent.spool.frames import AT_HAND, FactLog, LineLog, writer_alive
from headway_agent.spool.records import AttemptRow

STATES: dict[str, AttemptState] = {
    name: name for name in ("assigned", "running", "exited", "closed")
}


@dataclass(slots=True, eq=False)
class Attempt:
    """Changed by the runner alone, under `lock` where several steps belong together."""

    key: AttemptKey
    run_dir: Path
    assignment: Assignment
    state: AttemptState = "assigned"
    process: ProcessId = NOBODY
    acked_seq: int = 0
    acked_line: int = 0
    closed_at_us: int | None = None
    forgotten_at_us: int | None = None
    alive: bool = False
    told: tuple[object, ...] = ()
    signal_wanted: int = 0
    unwatch: Callable[[], None] | None = None
    # Its lines were read to their end after its last fact was there: none will be added.
    lines_known: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    facts: FactLog = field(init=False)
    lines: LineLog = field(init=False)

    def __post_init__(self) -> None:
        self.facts = FactLog(self.run_dir / "frames.log")
        self.lines = LineLog(self.run_dir / "output.log")

    @classmethod
    def from_row(cls, row: AttemptRow) -> "Attempt":
        return cls(
            AttemptKey(row.run, row.fence),
            Path(row.run_dir),
            start_file.from_json(row.assignment),
            STATES[row.state],
            ProcessId(row.pid, row.start_time),
            row.acked_seq,
            row.acked_line,
            row.closed_at_us,
            row.forgotten_at_us,
        )

    @property
    def supervisor(self) -> ProcessId:
        """What the supervisor said of itself, else what the template said of it."""
        if starting := self.facts.starting:
            return ProcessId(starting["pid"], starting["start_time"])
        return self.process

    @property
    def is_open(self) -> bool:
        """Its last fact is not known to be in the file."""
        return self.state in {"assigned", "running"}

    @property
    def is_held(self) -> bool:
        """Something of it is still to be told, or still lives."""
        return self.state != "closed" or self.alive

    @property
    def wholly_acked(self) -> bool:
        return (
            self.lines_known
            and self.acked_seq >= self.facts.last_seq
            and self.acked_line >= self.lines.last_line
        )

    def look(self) -> adoption.Evidence:
        """Reads the files. The lock first: who was dead then can't have written since."""
        alive = writer_alive(self.facts.path)
        self.scan()
        if self.facts.exited is not None:
            return adoption.Evidence("exited", alive)
        is_there = alive or self.facts.path.exists()
        return adoption.Evidence("open" if is_there else "absent", alive)

    def is_at_hand(self) -> bool:
        """Whether a scan takes less than handing it to a thread would."""
        return self.facts.news() + self.lines.news() <= AT_HAND

    def scan(self) -> tuple[int, int]:
        """Facts first: the last one may be known, and acknowledged, long before the lines have been counted."""
        seq = self.facts.scan()
        has_exited = self.facts.exited is not None
        line = self.lines.scan()
        self.lines_known = self.lines_known or has_exited
        return seq, line

    def held(self) -> Held:
        return Held(
            self.key,
            self.state,
            self.alive,
            self.facts.last_seq,
            self.acked_seq,
            self.lines.last_line,
            self.acked_line,
        )

    def reopen(self) -> None:
        """Undoes `closed`. What the files say decides what it is."""
        self.state = "running"
        self.closed_at_us = self.forgotten_at_us = None

    def stop_watching(self) -> None:
        if self.unwatch is not None:
            self.unwatch()
            self.unwatch = None
