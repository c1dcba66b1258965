"""Doing with an attempt what its files and processes call for.

Nothing here remembers what happened: each step looks first and acts on what it sees. So a restart of the agent, a lost
message or a failed step are all repaired by looking again.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

from headway_agent.clock import Clock
from headway_agent.runner import adoption, processes, start_file
from headway_agent.runner.attempt import Attempt
from headway_agent.runner.environments import Refused
from headway_agent.runner.launch import Launcher
from headway_agent.runner.template import SpawnRefused, TemplateLost
from headway_agent.spool.agent_db import AgentDb
from headway_agent.spool.frames import (
    WriterAlive,
    append_last,
    create_with,
    sync_directory,
    writer_alive,
)

log = logging.getLogger(__name__)
MOST_STEPS = 5
LEFTOVERS_WITHIN = 10.0


class Settler:
    """Takes attempts to where they belong. `on_change` is called when one should be looked at again."""

    def __init__(
        self, db: AgentDb, launcher: Launcher, clock: Clock, on_change: Callable[[Attempt], None]
    ) -> None:
        self._db = db
        self._launcher = launcher
        self._clock = clock
        self._on_change = on_change
        self._boot_id = processes.boot_id()

    async def settle(self, attempt: Attempt, *, may_start: bool) -> None:
        """Looks and acts until there is nothing more to do now."""
        async with attempt.lock:
            for _ in range(MOST_STEPS):
                if attempt.state == "closed":
                    await self._end_unwanted(attempt)
                    return
                evidence = (
                    attempt.look()
                    if attempt.is_at_hand()
                    else await asyncio.to_thread(attempt.look)
                )
                step = adoption.next_step(evidence)
                if step == "start" and not may_start:
                    return
                if await self._take(attempt, step):
                    return
            # Only a template that dies with every spawn leads here: the control plane's retry policy decides.
            error = TemplateLost("The template process died with each try to start the attempt.")
            await self._refuse(attempt, self._refusal("crashed", "exit", error))
            self._on_change(attempt)

    async def end(self, attempt: Attempt, number: int) -> bool:
        """Signals the supervisor (SIGTERM: in steps, SIGQUIT: now). An attempt that never started ends here."""
        async with attempt.lock:
            evidence = await asyncio.to_thread(attempt.look)
            if evidence.log == "absent":
                frame = adoption.never_started(
                    "cancelled", "cancelled", now_us=self._clock.now_us()
                )
                await self._refuse(attempt, frame)
                self._on_change(attempt)
                return False
            if evidence.log == "exited" or not evidence.writer_alive:
                return False
            if not self._launcher.may_signal(attempt):
                return False  # its process goes on with another attempt: it has ended just now
            if not processes.send_signal(attempt.supervisor, number):
                # Not known yet: it is alive, but has not said who it is. The watch sends it.
                attempt.signal_wanted = number
            # One that was stopped must go on to do as it is told.
            processes.send_signal(attempt.supervisor, signal.SIGCONT)
            return True

    async def _take(self, attempt: Attempt, step: adoption.Step) -> bool:
        """Takes one step; True when there is no need to look again."""
        match step:
            case "start":
                await self._start(attempt)
                return False
            case "watch":
                return await self._watch(attempt)
            case "close":
                return not await self._close_for_supervisor(attempt)
            case "report":
                return await self._report(attempt)

    async def _start(self, attempt: Attempt) -> None:
        try:
            attempt.process = await self._launcher.launch(attempt)
        except Refused as refused:
            await self._refuse(attempt, self._refusal("refused", refused.cause, refused))
        except SpawnRefused as refused:
            if refused.code == "fork_failed":
                await self._refuse(attempt, self._refusal("crashed", "exit", refused))
            elif refused.code != "already_started":
                await self._refuse(
                    attempt, self._refusal("refused", "environment refused", refused)
                )
        except TemplateLost as lost:
            log.warning("attempt %s/%s: %s", *attempt.key, lost)

    def _refusal(self, outcome: str, cause: str, error: Exception) -> dict[str, Any]:
        return adoption.never_started(outcome, cause, error, now_us=self._clock.now_us())

    async def _refuse(self, attempt: Attempt, frame: dict[str, Any]) -> None:
        def write() -> None:
            attempt.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                create_with(attempt.facts.path, frame)
            except FileExistsError:
                log.info("attempt %s/%s was started after all", *attempt.key)

        await asyncio.to_thread(write)

    async def _watch(self, attempt: Attempt) -> bool:
        attempt.alive = True
        supervisor = attempt.supervisor
        if attempt.state == "assigned" or attempt.process != supervisor:
            # agent.db need not know: the files tell the next agent process, too.
            attempt.state, attempt.process = "running", supervisor
        self._watch_process(attempt)
        return True

    def _watch_process(self, attempt: Attempt) -> None:
        supervisor = attempt.supervisor
        if supervisor.pid == 0:
            return  # it has not said who it is; its wake-up or the sweep brings us back
        if not self._launcher.may_signal(attempt):
            return  # it ended meanwhile; what its process tells now brings us back
        if attempt.signal_wanted and processes.send_signal(supervisor, attempt.signal_wanted):
            attempt.signal_wanted = 0
        if attempt.unwatch is None:
            attempt.unwatch = processes.watch(supervisor, lambda: self._died(attempt))

    def _died(self, attempt: Attempt) -> None:
        attempt.unwatch = None
        self._on_change(attempt)

    async def _close_for_supervisor(self, attempt: Attempt) -> bool:
        """Ends what a lost supervisor left and tells its last fact for it; False when something still lives."""
        starting = attempt.facts.starting or {}
        if starting.get("boot_id", self._boot_id) == self._boot_id:
            marker = f"{start_file.MARKER}={start_file.marker(attempt.key)}".encode()
            gone = await asyncio.to_thread(
                processes.end_leftovers,
                attempt.supervisor,
                marker,
                LEFTOVERS_WITHIN,
                self._clock.monotonic,
            )
            if not gone:
                log.warning(
                    "attempt %s/%s: processes of a lost supervisor do not die; looking again",
                    *attempt.key,
                )
                return False

        def tell() -> bool:
            attempt.scan()
            # Room for the last fact on a full disk, which may be what the supervisor died of.
            (attempt.run_dir / "reserve").unlink(missing_ok=True)
            frame = adoption.lost(
                starting,
                attempt.facts.ended,
                boot_id=self._boot_id,
                lines=attempt.lines.last_line,
                now_us=self._clock.now_us(),
            )
            try:
                append_last(attempt.facts.path, frame)
            except WriterAlive:
                return False
            sync_directory(attempt.run_dir)
            return True

        return await asyncio.to_thread(tell)

    async def _report(self, attempt: Attempt) -> bool:
        attempt.alive = False
        attempt.stop_watching()
        if attempt.is_open:
            attempt.state = "exited"  # as above: the file tells
        return True

    async def _end_unwanted(self, attempt: Attempt) -> None:
        """Nobody wants the facts of a closed attempt, but its processes must end. Its files are read only if one lives."""
        attempt.alive = await asyncio.to_thread(writer_alive, attempt.facts.path)
        if attempt.alive:
            await asyncio.to_thread(attempt.scan)
            attempt.alive = attempt.facts.exited is None
        if not attempt.alive:
            attempt.stop_watching()
        elif attempt.unwatch is None:
            attempt.signal_wanted = signal.SIGQUIT
            self._watch_process(attempt)
