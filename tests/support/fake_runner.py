"""A runner without processes: attempts whose facts and lines a test writes by hand. Keeps what it is told."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway_agent.runner.api import (
    Answer,
    Assignment,
    AttemptKey,
    AttemptState,
    Fact,
    Held,
    Line,
)
from headway_agent.spool.errors import SpoolFault


@dataclass
class FakeAttempt:
    key: AttemptKey
    state: AttemptState = "running"
    alive: bool = True
    facts: list[bytes] = field(default_factory=list)
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    acked_seq: int = 0
    acked_line: int = 0

    @property
    def last_line(self) -> int:
        return self.lines[-1][0] if self.lines else 0


class FakeRunner:
    """Implements `Attempts`. `started`, `cancelled`, `killed`, `fenced_keys` and `forgotten` tell what was asked."""

    def __init__(self) -> None:
        self.attempts: dict[AttemptKey, FakeAttempt] = {}
        self.started: list[Assignment] = []
        self.variables: dict[str, Any] = {}
        self.answers: list[tuple[AttemptKey, Answer]] = []
        self.resumed: list[AttemptKey] = []
        self.cancelled: list[AttemptKey] = []
        self.killed: list[AttemptKey] = []
        self.fenced_keys: list[AttemptKey] = []
        self.forgotten: list[str] = []
        # Attempts whose files can't be read; how many writes fail before one succeeds.
        self.unreadable: set[AttemptKey] = set()
        self.failing_writes = 0
        self.news = asyncio.Event()
        self.changed = asyncio.Condition()

    def keep_variables(self, values: dict[str, Any]) -> None:
        self.variables = values

    def keep_answer(self, key: AttemptKey, answer: Answer) -> None:
        self.answers.append((key, answer))

    # What a test does -----------------------------------------------------------------------------------

    def holds(self, run: str, fence: int = 1, **more: Any) -> FakeAttempt:
        key = AttemptKey(run, fence)
        attempt = self.attempts.setdefault(key, FakeAttempt(key, **more))
        self.news.set()
        return attempt

    def write(self, attempt: FakeAttempt, *frames: dict[str, Any]) -> None:
        for frame in frames:
            attempt.facts.append(json.dumps({"at_us": 1, **frame}).encode())
            if frame["type"] == "attempt.exited":
                attempt.alive, attempt.state = False, "exited"
        self.news.set()

    def print(self, attempt: FakeAttempt, *texts: str, skip: int = 0) -> None:
        for text in texts:
            number = attempt.last_line + 1 + skip
            skip = 0
            line = {"line": number, "at_us": 1, "source": "stdout", "level": "", "text": text}
            attempt.lines.append((number, json.dumps(line).encode()))
        self.news.set()

    async def until(self, condition: Any, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)

    # What the agent asks --------------------------------------------------------------------------------

    async def _note(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def start(
        self, assignment: Assignment, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self.started.append(assignment)
        self.holds(*assignment.key)
        await self._note()

    async def resume(self, key: AttemptKey) -> None:
        self.resumed.append(key)
        await self._note()

    async def cancel(self, key: AttemptKey) -> bool:
        self.cancelled.append(key)
        await self._note()
        return True

    async def kill(self, key: AttemptKey) -> bool:
        self.killed.append(key)
        attempt = self.attempts[key]
        if attempt.alive:
            exited = {"type": "attempt.exited", "outcome": "crashed", "cause": "killed", "lines": 0}
            self.write(attempt, exited)
        await self._note()
        return True

    async def fenced(self, key: AttemptKey) -> None:
        self.fenced_keys.append(key)
        attempt = self.attempts[key]
        attempt.alive, attempt.state = False, "closed"
        await self._note()

    def held(self) -> Sequence[Held]:
        return [
            Held(a.key, a.state, a.alive, len(a.facts), a.acked_seq, a.last_line, a.acked_line)
            for a in self.attempts.values()
            if a.state != "closed"
        ]

    async def wait_for_facts(self) -> set[AttemptKey]:
        await self.news.wait()
        self.news.clear()
        return set(self.attempts)

    async def facts(
        self, key: AttemptKey, after_seq: int, max_items: int = 256, max_bytes: int = 262_144
    ) -> list[Fact]:
        if key in self.unreadable:
            raise OSError(5, "Input/output error")
        found: list[Fact] = []
        size = 0
        for seq, frame in enumerate(self.attempts[key].facts[after_seq:], after_seq + 1):
            size += len(frame)
            if len(found) >= max_items or (found and size > max_bytes):
                break
            found.append(Fact(seq, frame))
        await asyncio.sleep(0)
        return found

    async def lines(
        self, key: AttemptKey, after_line: int, max_items: int = 1_000, max_bytes: int = 262_144
    ) -> list[Line]:
        await asyncio.sleep(0)
        return [Line(n, c) for n, c in self.attempts[key].lines if n > after_line][:max_items]

    async def acked(self, key: AttemptKey, seq: int) -> None:
        if self.failing_writes:
            self.failing_writes -= 1
            raise SpoolFault("no space left")
        attempt = self.attempts[key]
        attempt.acked_seq = max(attempt.acked_seq, seq)
        await self._settle(attempt)

    async def lines_acked(self, key: AttemptKey, line: int) -> None:
        attempt = self.attempts[key]
        attempt.acked_line = max(attempt.acked_line, line)
        await self._settle(attempt)

    async def _settle(self, attempt: FakeAttempt) -> None:
        wholly = attempt.acked_seq >= len(attempt.facts) and attempt.acked_line >= attempt.last_line
        if attempt.state == "exited" and wholly:
            attempt.state = "closed"
        await self._note()

    async def reopen(self) -> None:
        for attempt in self.attempts.values():
            attempt.acked_seq = attempt.acked_line = 0
            if attempt.state == "closed":
                attempt.state = "exited"

    async def forget(self, run: str) -> None:
        self.forgotten.append(run)
        await self._note()
