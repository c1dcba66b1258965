"""What an agent takes for its disk and its template process: the modelled machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import Any

from headway_agent.runner import adoption
from headway_agent.runner.api import Answer, Assignment, AttemptKey, Fact, Held, Line
from simulation.host import Host, Row, RunDirectory
from simulation.supervisor import raw
from simulation.world import Loop, World

SWEEP = 5.0


class Runner:
    """Implements the agent's `Attempts` over the modelled disk. What to do with an attempt the production `adoption` says."""

    def __init__(self, world: World, host: Host, loop: Loop) -> None:
        self._world = world
        self._host = host
        self._loop = loop
        self._locks: dict[AttemptKey, asyncio.Lock] = {}
        self._news = asyncio.Event()
        self._woken = asyncio.Event()
        self._dirty: dict[AttemptKey, None] = {}
        self._told: dict[AttemptKey, Any] = {}
        self._starting: dict[AttemptKey, None] = {}

    async def open(self) -> None:
        self._host.on_wake = self._on_wake
        for key in list(self._host.rows):
            await self._settle(key, may_start=False)
        self._loop.spawn(self._watch())

    # The production runner's interface ----------------------------------------------------------------------

    async def start(
        self, assignment: Assignment, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        key = assignment.key
        if key not in self._host.rows:
            self._starting[key] = None
            await self._write()
            self._host.rows[key] = Row(key, assignment)
            del self._starting[key]
        await self._settle(key, may_start=not cancelled())

    def keep_answer(self, key: AttemptKey, answer: Answer) -> None:
        """As in production: the first counts, and who is over gets none."""
        row, directory = self._host.rows.get(key), self._directory(key)
        if row is None or directory is None or directory.exited:
            return
        directory.answers.setdefault(answer.call, answer)
        if directory.writer is not None:
            directory.writer.answered()

    async def resume(self, key: AttemptKey) -> None:
        row = self._host.rows.get(key)
        if row is not None and row.state == "assigned":
            await self._settle(key, may_start=True)

    async def cancel(self, key: AttemptKey) -> bool:
        return await self._end(key, signal.SIGTERM)

    async def kill(self, key: AttemptKey) -> bool:
        return await self._end(key, signal.SIGQUIT)

    async def fenced(self, key: AttemptKey) -> None:
        if key in self._host.rows:
            await self._end(key, signal.SIGQUIT)
            await self._close(self._host.rows[key])

    def held(self) -> Sequence[Held]:
        return [
            Held(
                row.key,
                row.state,
                self._alive(row.key),
                self._last_seq(row.key),
                row.acked_seq,
                self._last_line(row.key),
                row.acked_line,
            )
            for row in self._host.rows.values()
            if row.state != "closed" or self._alive(row.key)
        ]

    async def wait_for_facts(self) -> set[AttemptKey]:
        await self._news.wait()
        self._news.clear()
        return set()

    async def facts(
        self, key: AttemptKey, after_seq: int, max_items: int = 256, max_bytes: int = 262_144
    ) -> list[Fact]:
        directory = self._host.directories.get(key)
        if directory is None:
            return []
        await asyncio.sleep(0.001)
        found = directory.frames[after_seq : after_seq + max_items]
        # As in the production reader: nothing leaves this machine that a power cut could take back.
        directory.synced = max(directory.synced, after_seq + len(found))
        return [Fact(after_seq + 1 + n, raw) for n, raw in enumerate(found)]

    async def lines(
        self, key: AttemptKey, after_line: int, max_items: int = 1_000, max_bytes: int = 262_144
    ) -> list[Line]:
        last = min(self._last_line(key), after_line + max_items)
        return [Line(n, b'{"line":%d}' % n) for n in range(after_line + 1, last + 1)]

    async def acked(self, key: AttemptKey, seq: int) -> None:
        await self._acked(key, seq, 0)

    async def lines_acked(self, key: AttemptKey, line: int) -> None:
        await self._acked(key, 0, line)

    async def _acked(self, key: AttemptKey, seq: int, line: int) -> None:
        row = self._host.rows.get(key)
        if row is None:
            return
        await self._write()
        row.acked_seq, row.acked_line = max(row.acked_seq, seq), max(row.acked_line, line)
        self._close_if_acked(row)

    def _close_if_acked(self, row: Row) -> None:
        """As in production, in the write that takes the last acknowledgement down, and at each look."""
        directory = self._host.directories.get(row.key)
        said = directory is not None and directory.exited
        acked = row.acked_seq >= self._last_seq(row.key)
        if said and acked and row.acked_line >= self._last_line(row.key):
            row.state = "closed"

    async def reopen(self) -> None:
        await self._write()
        for row in self._host.rows.values():
            row.acked_seq = row.acked_line = 0
            if row.state == "closed":
                row.state = "running"
        for key in list(self._host.rows):
            await self._settle(key, may_start=False)

    async def forget(self, run: str) -> None:
        """Nothing is deleted within a seed."""

    # Looking and acting -------------------------------------------------------------------------------------

    def _directory(self, key: AttemptKey) -> RunDirectory | None:
        return self._host.directories.get(key)

    def _alive(self, key: AttemptKey) -> bool:
        directory = self._directory(key)
        return directory is not None and directory.writer is not None

    def _last_seq(self, key: AttemptKey) -> int:
        directory = self._directory(key)
        return 0 if directory is None else len(directory.frames)

    def _last_line(self, key: AttemptKey) -> int:
        directory = self._directory(key)
        return 0 if directory is None else directory.lines

    def _evidence(self, key: AttemptKey) -> adoption.Evidence:
        directory = self._directory(key)
        if directory is None:
            return adoption.Evidence("absent", False)
        return adoption.Evidence("exited" if directory.exited else "open", self._alive(key))

    async def _settle(self, key: AttemptKey, *, may_start: bool) -> None:
        row = self._host.rows[key]
        async with self._locks.setdefault(key, asyncio.Lock()):
            for _ in range(5):
                if row.state == "closed":
                    self._end_unwanted(key)
                    break
                step = adoption.next_step(self._evidence(key))
                if step == "start" and not may_start:
                    break
                if await self._take(row, step):
                    break
            self._close_if_acked(row)
        self._tell(key)

    async def _take(self, row: Row, step: adoption.Step) -> bool:
        match step:
            case "start":
                await self._launch(row.assignment)
                return False
            case "watch":
                row.state = "running"
                return True
            case "close":
                await self._write()
                self._close_for_supervisor(row.key)
                return False
            case "report":
                row.state = "exited"
                return True

    async def _launch(self, assignment: Assignment) -> None:
        spawned = self._loop.create_future()
        self._host.spawn(assignment, lambda: spawned.done() or spawned.set_result(None))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await spawned

    def _close_for_supervisor(self, key: AttemptKey) -> None:
        """The last fact in a dead supervisor's place."""
        directory = self._directory(key)
        assert directory is not None
        if directory.writer is not None or directory.exited:
            return
        starting = directory.find("attempt.starting") or {}
        starting = {**starting, "boot_id": str(starting.get("boot"))}
        frame = adoption.lost(
            starting,
            directory.find("attempt.ended"),
            boot_id=str(self._host.boots),
            lines=directory.lines,
            now_us=0,
        )
        directory.frames.append(raw(frame))
        directory.synced = len(directory.frames)

    async def _end(self, key: AttemptKey, number: int) -> bool:
        if key not in self._host.rows:
            return False
        async with self._locks.setdefault(key, asyncio.Lock()):
            directory = self._directory(key)
            if directory is None:
                frame = adoption.never_started("cancelled", "cancelled", now_us=0)
                self._host.directories[key] = RunDirectory([raw(frame)], 1)
                self._on_wake(key)
                return False
            if directory.writer is None:
                return False
            directory.writer.signalled(number)
            return True

    def _end_unwanted(self, key: AttemptKey) -> None:
        directory = self._directory(key)
        if directory is not None and directory.writer is not None:
            directory.writer.signalled(signal.SIGQUIT)

    async def _close(self, row: Row) -> None:
        await self._write()
        row.state = "closed"

    async def _write(self) -> None:
        """agent.db takes its time; what it has is durable."""
        await asyncio.sleep(self._world.random.uniform(0.001, 0.02))

    # Hints, and the sweep that makes lost ones good ---------------------------------------------------------

    def _on_wake(self, key: AttemptKey) -> None:
        if self._loop.alive and key in self._host.rows:
            self._dirty[key] = None
            self._woken.set()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP):
                    await self._woken.wait()
            self._woken.clear()
            dirty, self._dirty = self._dirty, {}
            open_ones = {
                key: None
                for key, row in self._host.rows.items()
                if row.state in {"assigned", "running"} or self._alive(key)
            }
            for key in dirty | open_ones:
                await self._settle(key, may_start=False)

    def _tell(self, key: AttemptKey) -> None:
        state = self._host.rows[key].state
        now = (self._last_seq(key), self._last_line(key), state, self._alive(key))
        if self._told.get(key) != now:
            self._told[key] = now
            self._news.set()
