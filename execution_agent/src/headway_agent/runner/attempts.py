"""The runner: the attempts of this agent, and what the session may ask of them."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from headway_agent.clock import Clock
from headway_agent.runner import answers, start_file, variables
from headway_agent.runner.api import Answer, Assignment, AttemptKey, Check, Fact, Held, Line, never
from headway_agent.runner.attempt import Attempt
from headway_agent.runner.launch import Launcher, LaunchOptions
from headway_agent.runner.settle import Settler
from headway_agent.runner.state_dir import StateDir
from headway_agent.runner.wake import WakeSocket, cache_socket_path, socket_path
from headway_agent.spool import cache_files, kept_values, records, retention
from headway_agent.spool.agent_db import AgentDb

log = logging.getLogger(__name__)
CLEAN_EVERY = 60.0
REOPENED_MAX = 5_000
"""Attempts that are opened anew for a log that lost events, the newest first: a Hello has limits."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """`sweep_every`: how often, in seconds, everything alive is looked at without a hint."""

    launch: LaunchOptions
    sweep_every: float = 1.0
    keep_us: int = retention.KEEP_US
    keep_bytes: int = retention.KEEP_BYTES
    cache_bytes: int = cache_files.KEEP_BYTES


class Runner:
    """All attempts of this agent. Open it once; every method is for one event loop."""

    def __init__(
        self, state_dir: StateDir, db: AgentDb, options: RunnerOptions, clock: Clock
    ) -> None:
        self._dir = state_dir
        self._db = db
        self._options = options
        self._clock = clock
        self.launcher = Launcher(state_dir, options.launch, clock)
        self._settler = Settler(
            db, self.launcher, clock, lambda attempt: self._on_wake(attempt.key)
        )
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._by_run: dict[str, dict[AttemptKey, Attempt]] = {}
        # Those that are open or alive: directories are kept for weeks, and nobody walks through all of them often.
        self._present: dict[AttemptKey, Attempt] = {}
        self._dirty: set[AttemptKey] = set()
        self._news: set[AttemptKey] = set()
        self._woken = asyncio.Event()
        self._told = asyncio.Event()
        self._wake: WakeSocket | None = None
        self._pump: asyncio.Task[None] | None = None
        # Attempts that are being looked after, and those that had news meanwhile.
        self._settling: dict[AttemptKey, asyncio.Task[None]] = {}
        self._again: set[AttemptKey] = set()
        self._cleaning: asyncio.Task[None] | None = None
        # Of runs that are over, whose directories no longer change.
        self._sizes: dict[str, int] = {}
        self._started: set[Path] = set()

    async def open(self) -> None:
        """Takes up what an earlier agent process left. Starts nothing: that waits for `start` or `resume`."""
        self._wake = WakeSocket(socket_path(self._dir.path), self._on_wake)
        retention.delete_leftovers(self._dir.runs)
        for row in await self._db.run(records.attempts):
            self._add(Attempt.from_row(row))
        await asyncio.to_thread(
            retention.delete_strangers, self._dir.runs, set(self._by_run), self._clock.now_us()
        )
        for attempt in list(self._attempts.values()):
            await self._settle_safely(attempt)
        self._pump = asyncio.create_task(self._run(), name="runner")
        self._pump.add_done_callback(lambda _: self._told.set())

    async def close(self) -> None:
        """Ends the templates and the watching. Supervisors and flows live on; the next `open` finds them."""
        own = (self._pump, self._cleaning, *self._settling.values())
        tasks = [task for task in own if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for attempt in self._attempts.values():
            attempt.stop_watching()
        await self.launcher.close()
        if self._wake is not None:
            self._wake.close()

    def cache_paths(self) -> tuple[Path, Path, Path]:
        """Of the cache that agents share: its socket, the file that names it, and where attempts lie."""
        return cache_socket_path(self._dir.path), self._dir.cache_socket, self._dir.runs

    # What the session asks for. See api.Attempts.

    def keep_variables(self, values: Mapping[str, Any]) -> None:
        variables.keep(self._dir.variables, values)

    def keep_answer(self, key: AttemptKey, answer: Answer) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.is_open:
            answers.keep(attempt.run_dir, answer)

    async def start(self, assignment: Assignment, cancelled: Check = never) -> None:
        key = assignment.key
        attempt = self._attempts.get(key)
        try:
            if attempt is None:
                attempt = await self._begin(assignment)
            await self._settler.settle(attempt, may_start=not cancelled())
        finally:
            self.launcher.drop(key)
        self._tell(attempt)

    async def resume(self, key: AttemptKey) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.state == "assigned":
            await self._settler.settle(attempt, may_start=True)
            self._tell(attempt)

    async def cancel(self, key: AttemptKey) -> bool:
        attempt = self._attempts.get(key)
        return attempt is not None and await self._settler.end(attempt, signal.SIGTERM)

    async def kill(self, key: AttemptKey) -> bool:
        attempt = self._attempts.get(key)
        return attempt is not None and await self._settler.end(attempt, signal.SIGQUIT)

    async def fenced(self, key: AttemptKey) -> None:
        if attempt := self._attempts.get(key):
            await self._settler.end(attempt, signal.SIGQUIT)
            await self._close_attempt(attempt)

    def held(self) -> Sequence[Held]:
        self._present = {key: attempt for key, attempt in self._present.items() if attempt.is_held}
        return [attempt.held() for attempt in self._present.values()]

    async def wait_for_facts(self) -> set[AttemptKey]:
        await self._told.wait()
        self._told.clear()
        if self._pump is not None and self._pump.done() and not self._pump.cancelled():
            self._pump.result()  # without it nothing is ever told again: its error is the caller's
        news, self._news = self._news, set()
        return news

    async def facts(
        self, key: AttemptKey, after_seq: int, max_items: int = 256, max_bytes: int = 262_144
    ) -> list[Fact]:
        attempt = self._attempts.get(key)
        if attempt is None:
            return []
        read = partial(attempt.facts.read, after_seq, max_items, max_bytes)
        # What was just written, and is durable, is read faster than a thread takes over.
        found = read() if attempt.facts.is_at_hand(after_seq) else await asyncio.to_thread(read)
        return [Fact(record.n, record.raw) for record in found]

    async def lines(
        self, key: AttemptKey, after_line: int, max_items: int = 1_000, max_bytes: int = 262_144
    ) -> list[Line]:
        attempt = self._attempts.get(key)
        if attempt is None:
            return []
        found = await asyncio.to_thread(attempt.lines.read, after_line, max_items, max_bytes)
        return [Line(number, content) for number, content in found]

    async def acked(self, key: AttemptKey, seq: int) -> None:
        await self._acked(key, seq, 0)

    async def lines_acked(self, key: AttemptKey, line: int) -> None:
        await self._acked(key, 0, line)

    async def reopen(self) -> None:
        # The log is an earlier one, whose own come with its grants.
        variables.drop(self._dir.variables)
        closed = [a for a in self._attempts.values() if a.state == "closed"]
        closed.sort(key=lambda a: a.closed_at_us or 0, reverse=True)
        opened = [a for a in closed[:REOPENED_MAX] if a.facts.path.exists()]
        await self._db.run(records.reopened([a.key for a in opened]))
        for attempt in self._attempts.values():
            attempt.acked_seq = attempt.acked_line = 0
        for attempt in opened:
            attempt.reopen()
            await self._settle_safely(attempt)

    async def forget(self, run: str) -> None:
        now_us = self._clock.now_us()
        for attempt in self._by_run.get(run, {}).values():
            if attempt.forgotten_at_us is None:
                attempt.forgotten_at_us = now_us
        await self._db.run(records.forgotten(run, now_us=now_us), hurry=False)

    async def delete_old(self) -> list[str]:
        """Deletes the directories of runs that nobody needs any more and names the runs. Also done every minute."""
        now_us = self._clock.now_us()
        by_run = {run: list(mine.values()) for run, mine in self._by_run.items()}
        kept = [
            await asyncio.to_thread(self._kept, run, mine)
            for run, mine in by_run.items()
            if retention.is_over(mine, now_us)
        ]
        is_low = await asyncio.to_thread(retention.is_low, self._dir.runs)
        chosen = retention.choose(
            kept,
            now_us,
            keep_us=self._options.keep_us,
            keep_bytes=0 if is_low else self._options.keep_bytes,
        )
        chosen = await asyncio.to_thread(self._may_go, chosen)
        for run in chosen:
            await asyncio.to_thread(retention.delete_run, self._dir.runs / run)
            await self._db.run(records.removed(run))
            self._sizes.pop(run, None)
            for attempt in by_run[run]:
                self._remove(attempt)
        cache_bytes = 0 if is_low else self._options.cache_bytes
        await asyncio.to_thread(cache_files.trim, self._dir.store, now_us, keep_bytes=cache_bytes)
        return chosen

    def take_started(self) -> set[Path]:
        """Directories of the attempts that began, or were found here, since this was last asked."""
        started, self._started = self._started, set()
        return started

    def _add(self, attempt: Attempt) -> None:
        self._attempts[attempt.key] = attempt
        self._by_run.setdefault(attempt.key.run, {})[attempt.key] = attempt
        self._started.add(attempt.run_dir)

    def _remove(self, attempt: Attempt) -> None:
        self._attempts.pop(attempt.key, None)
        mine = self._by_run.get(attempt.key.run, {})
        mine.pop(attempt.key, None)
        if not mine:
            self._by_run.pop(attempt.key.run, None)

    def _may_go(self, chosen: list[str]) -> list[str]:
        if not self._options.launch.has_store:
            return chosen
        return [run for run in chosen if kept_values.may_go(self._dir.runs / run)]

    def _kept(self, run: str, attempts: list[Attempt]) -> retention.KeptRun:
        since = max(
            max(attempt.closed_at_us or 0, attempt.forgotten_at_us or 0) for attempt in attempts
        )
        if run not in self._sizes:
            self._sizes[run] = retention.size_of(self._dir.runs / run)
        return retention.KeptRun(run, since, self._sizes[run])

    # Hints, and the loop that follows them.

    def _on_wake(self, key: AttemptKey, durable: int = 0) -> None:
        if attempt := self._attempts.get(key):
            attempt.facts.durable_to(durable)
            self._dirty.add(key)
            self._woken.set()

    async def _run(self) -> None:
        swept_at = cleaned_at = self._clock.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.sweep_every):
                    await self._woken.wait()
            self._woken.clear()
            dirty, self._dirty = self._dirty, set()
            now = self._clock.monotonic()
            if now - swept_at >= self._options.sweep_every:
                swept_at = now
                dirty |= {
                    key
                    for key, attempt in self._present.items()
                    if attempt.alive or attempt.is_open
                }
            for key in dirty:
                if attempt := self._attempts.get(key):  # a late hint may name what was deleted
                    await self._refresh(attempt)
            if now - cleaned_at >= CLEAN_EVERY and (
                self._cleaning is None or self._cleaning.done()
            ):
                cleaned_at = now
                self._cleaning = asyncio.create_task(self._delete_safely())

    async def _delete_safely(self) -> None:
        try:
            await self.delete_old()
        except Exception:
            log.exception("old run directories could not be deleted; it is tried again")

    async def _refresh(self, attempt: Attempt) -> None:
        with contextlib.suppress(
            OSError
        ):  # a disk that can't be read now is looked at again by the sweep
            # Most hints come when it was all read for an earlier one: then this looks at two sizes.
            if attempt.is_at_hand():
                attempt.scan()
            else:
                await asyncio.to_thread(attempt.scan)
        self._tell(attempt)
        watched = attempt.alive and attempt.unwatch is not None and not attempt.signal_wanted
        if attempt.facts.exited is not None or not watched:
            self._settle_soon(attempt)

    def _settle_soon(self, attempt: Attempt) -> None:
        """On the side: an interpreter that does not come up, or a process that does not die, delays its attempt alone."""
        key = attempt.key
        if key in self._settling:
            self._again.add(key)
            return

        def settled(_: asyncio.Task[None]) -> None:
            del self._settling[key]
            if key in self._again:
                self._again.discard(key)
                self._on_wake(key)

        self._settling[key] = asyncio.create_task(self._settle_safely(attempt))
        self._settling[key].add_done_callback(settled)

    async def _settle_safely(self, attempt: Attempt) -> None:
        try:
            await self._settler.settle(attempt, may_start=False)
            if (
                attempt.wholly_acked
            ):  # everything was acknowledged before we knew that it was everything
                await self._close_attempt(attempt)
        except Exception:
            log.exception(
                "attempt %s/%s could not be looked after; it is tried again", *attempt.key
            )
        self._tell(attempt)

    def _tell(self, attempt: Attempt) -> None:
        """Lets the session know when there is more than it was told of."""
        if attempt.is_held:
            self._present[attempt.key] = attempt
        now = (attempt.facts.last_seq, attempt.lines.last_line, attempt.state, attempt.alive)
        if now != attempt.told:
            attempt.told = now
            self._news.add(attempt.key)
            self._told.set()

    # What agent.db keeps.

    async def _begin(self, assignment: Assignment) -> Attempt:
        """The attempt, on record. Meanwhile its start is prepared; nothing is executed before this returns."""
        key = assignment.key
        attempt = Attempt(key, self._dir.run_dir(key), assignment)
        self._add(attempt)
        self._present[key] = attempt
        self.launcher.prepare(attempt)
        try:
            await self._record_assigned(attempt)
        except BaseException:
            self._remove(attempt)
            self._present.pop(key, None)
            raise
        return attempt

    async def _record_assigned(self, attempt: Attempt) -> None:
        await self._db.run(
            records.assign(
                *attempt.key,
                run_dir=str(attempt.run_dir),
                assignment=start_file.to_json(attempt.assignment),
                now_us=self._clock.now_us(),
            )
        )

    async def _acked(self, key: AttemptKey, seq: int, line: int) -> None:
        attempt = self._attempts.get(key)
        if attempt is None:
            return
        attempt.acked_seq = max(attempt.acked_seq, seq)
        attempt.acked_line = max(attempt.acked_line, line)
        change = records.acked(*key, seq=seq, line=line)
        if attempt.wholly_acked:
            await self._close_attempt(attempt, change)
        else:
            await self._db.run(change, hurry=False)

    async def _close_attempt(self, attempt: Attempt, *before: records.Change) -> None:
        """Closes it and writes that down, together with the changes `before` it."""
        if attempt.state == "closed" and not before:
            return
        attempt.state = "closed"
        attempt.closed_at_us = attempt.closed_at_us or self._clock.now_us()
        closed = records.closed(*attempt.key, now_us=attempt.closed_at_us)
        # Should it be lost, the next agent process hears the same acknowledgement again.
        await self._db.run(records.together(*before, closed), hurry=False)
