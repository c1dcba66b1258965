"""The loop of every fuzzer: take an input, mutate it, execute it against the real thing, keep what shows something new.

An input is a script: the pieces that one execution sends, in order. A target says how to execute one and raises `Finding` when
something happens that must not. What a finding needs is made small and kept in the corpus, where `make test` replays it for ever.
A seed and a number of executions determine every input; only the clock that ends a timed run does not.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar

from fuzz import corpus
from fuzz.corpus import Script
from fuzz.coverage import Lines

SHRINK_EXECUTIONS = 300
SHRINK_SECONDS = 20.0
MOST_FINDINGS = 10
CPU_SECONDS = 10.0
REST = 0.9  # of executions begin at an input that is known, the others at a recorded one


class Finding(Exception):
    """Something happened that must not. `kind` is what tells one finding from another."""

    def __init__(self, told: str, kind: str = "") -> None:
        super().__init__(told)
        self.kind = kind or told

    @classmethod
    def of(cls, what: str, error: BaseException) -> Finding:
        """An exception that got out: its kind is its class and the place that raised it."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        code = trace.tb_frame.f_code if trace is not None else None
        place = f"{Path(code.co_filename).name}:{code.co_name}" if code is not None else "nowhere"
        kind = f"{what}: {type(error).__name__} in {place}"
        return cls(f"{kind}: {str(error)[:150]}", kind)


class Target(ABC):
    """What a fuzzer fuzzes."""

    name: ClassVar[str]
    traced: ClassVar[Sequence[str]] = ()
    """Modules whose executed lines tell one input from another. Tracing is slow: only for what runs in this thread."""

    def __init__(self, database_url: str = "") -> None:
        """`database_url` names an empty, migrated database for a target that needs one; it makes its own without."""
        self.database_url = database_url

    @abstractmethod
    def seeds(self) -> Iterable[Script]:
        """Recorded, valid inputs."""

    @abstractmethod
    def mutate(self, random: Random, script: Script) -> Script:
        """An input that is nearly the given one."""

    @abstractmethod
    async def execute(self, script: Script) -> Hashable:
        """Executes it and says what kind of answer it got. Raises Finding."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What executions need, for as long as they last."""
        yield

    async def close_up(self) -> None:
        """What must hold once all is over. Raises Finding."""
        return


@dataclass
class Report:
    """What a run did."""

    name: str
    seed: int
    executions: int = 0
    seconds: float = 0.0
    replayed: int = 0
    new_entries: int = 0
    answers: set[Hashable] = field(default_factory=set)
    findings: dict[str, str] = field(default_factory=dict)  # by kind

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        verdict = "nothing found" if not self.findings else f"{len(self.findings)} FOUND"
        told = (
            f"{self.name}: {self.executions} executions in {self.seconds:.1f} s ({rate:.0f}/s), seed {self.seed}, "
            f"{self.replayed} replayed, {self.new_entries} new corpus entries, {len(self.answers)} kinds of answers: {verdict}"
        )
        return "\n".join([told, *(f"  {finding}" for finding in self.findings.values())])


@dataclass
class Limits:
    """When a run ends: whichever comes first."""

    seconds: float | None = None
    executions: int | None = None

    def reached(self, report: Report, began: float) -> bool:
        if self.executions is not None and report.executions >= self.executions:
            return True
        return self.seconds is not None and time.monotonic() - began >= self.seconds


async def fuzz(target: Target, seed: int, limits: Limits, *, keep: bool = True) -> Report:
    """Runs a fuzzer. With `keep`, findings are written into the corpus."""
    report = Report(target.name, seed)
    random = Random(f"{target.name}/{seed}")
    lines = Lines(target.traced)
    began = time.monotonic()
    async with target.running():
        recorded = list(target.seeds())
        kept = [entry.script for entry in corpus.load(target.name)]
        pool: list[Script] = []
        for script in (*recorded, *kept):
            if await _try(target, script, report, lines, keep=False):
                pool.append(script)
        report.replayed, report.executions, report.new_entries = report.executions, 0, 0
        while not limits.reached(report, began) and len(report.findings) < MOST_FINDINGS:
            base = pool if pool and random.random() < REST else recorded
            script = target.mutate(random, random.choice(base))
            if await _try(target, script, report, lines, keep=keep):
                pool.append(script)
        try:
            await target.close_up()
        except Finding as finding:
            report.findings[finding.kind] = str(finding)
    report.seconds = time.monotonic() - began
    return report


async def replay(target: Target, script: Script) -> None:
    """Executes one input. Raises Finding."""
    async with target.running():
        await target.execute(script)
        await target.close_up()


async def _try(target: Target, script: Script, report: Report, lines: Lines, *, keep: bool) -> bool:
    """Whether the input showed something new."""
    report.executions += 1
    try:
        with lines, _no_longer_than(CPU_SECONDS):
            answer = await target.execute(script)
    except Finding as finding:
        if finding.kind not in report.findings:
            report.findings[finding.kind] = str(finding)
            if keep:
                # What spins would do so as often as something smaller is tried.
                spins = isinstance(finding.__cause__, Spins)
                small = script if spins else await _shrink(target, script, finding.kind)
                kept = corpus.save(target.name, str(finding), small)
                report.findings[finding.kind] += f" -> {kept}"
        return False
    new = answer not in report.answers
    report.answers.add(answer)
    # Every line is looked at, whatever the answer: or it would be new another time.
    if lines.take_new() or new:
        report.new_entries += 1
        return True
    return False


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Code that spins is interrupted where it spins. By the time it was computing: what only waits is the target's to judge."""
    before = signal.signal(signal.SIGPROF, _interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Spins(Exception):
    """One execution computes for ever."""


def _interrupt(_number: int, _frame: object) -> None:
    raise Spins


async def _shrink(target: Target, script: Script, kind: str) -> Script:
    """The smallest input found that is found in the same way."""
    left, until = SHRINK_EXECUTIONS, time.monotonic() + SHRINK_SECONDS
    at_once = True
    while at_once and left > 0:
        at_once = False
        for smaller in _smaller(script):
            left -= 1
            if left <= 0 or time.monotonic() > until:
                return script
            if await _same(target, smaller, kind):
                script, at_once = smaller, True
                break
    return script


async def _same(target: Target, script: Script, kind: str) -> bool:
    try:
        with _no_longer_than(CPU_SECONDS):
            await target.execute(script)
    except Finding as finding:
        return finding.kind == kind
    return False


def _smaller(script: Script) -> Iterable[Script]:
    for n in range(len(script)):
        if len(script) > 1:
            yield (*script[:n], *script[n + 1 :])
    for n, piece in enumerate(script):
        size = len(piece) // 2
        while size:
            for at in range(0, len(piece), size):
                yield (*script[:n], piece[:at] + piece[at + size :], *script[n + 1 :])
            size //= 2
            if len(piece) // max(size, 1) > 64:
                break
