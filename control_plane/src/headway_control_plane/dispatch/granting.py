"""Grants on their way to the log: asked for, answered, and offered less and less often where they are refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from headway_control_plane.application.ports import Committed, Log, Reaction, Unavailable
from headway_control_plane.dispatch.view import RunRow, View
from headway_control_plane.domain.commands import GrantRun
from headway_control_plane.domain.dispatching_words import Grant
from headway_control_plane.domain.errors import Refused, StaleShard

_log = logging.getLogger(__name__)
ACTOR = "dispatcher"
_FIRST_PENALTY = timedelta(milliseconds=250)
_LONGEST_PENALTY = timedelta(seconds=30)


class Granting:
    """Carries grants out. `refused` is called for each one that was not given, and says what is read again."""

    def __init__(self, log: Log, refused: Callable[[View, Grant], None]) -> None:
        self._log = log
        self._refused = refused
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusals: dict[tuple[int, UUID], int] = {}

    def ask(self, view: View, grant: Grant, epoch: int) -> None:
        """Ask the log for it. Those that wait together are committed together."""
        command = GrantRun(grant.run, grant.session, epoch)
        self._await(view, grant, self._log.execute(grant.ws, command, actor=ACTOR))

    def react(self, view: View, grant: Grant, epoch: int) -> Reaction:
        """The same as part of the flush that makes it possible."""
        outcome: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._await(view, grant, outcome)
        command = GrantRun(grant.run, grant.session, epoch, grant.instead_of)
        return Reaction(command, ACTOR, outcome)

    def penalised(self, ws: int, row: RunRow, now: datetime) -> RunRow:
        """What is refused over and over is offered less and less often."""
        refusals = self._refusals.get((ws, row.run), 0)
        if refusals < 2:
            return row
        penalty = min(_LONGEST_PENALTY, _FIRST_PENALTY * 2 ** min(refusals - 2, 10))
        return replace(row, due_at=max(row.due_at, now + penalty))

    def forget(self, ws: int, run: UUID) -> None:
        """It neither waits nor is open."""
        self._refusals.pop((ws, run), None)

    def prune(self, workspaces: Container[int]) -> None:
        """Keep what is known of these alone."""
        for key in [key for key in self._refusals if key[0] not in workspaces]:
            del self._refusals[key]

    async def stop(self) -> None:
        """Wait for what is on its way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _await(self, view: View, grant: Grant, outcome: Awaitable[Committed]) -> None:
        view.granting.add(grant.run)
        task = asyncio.create_task(self._follow(view, grant, outcome), name="grant")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, view: View, grant: Grant, outcome: Awaitable[Committed]) -> None:
        try:
            committed = await outcome
        except StaleShard as stale:
            # Not asked again before the shard's ownership was read again.
            _log.warning("workspace %d: %s", grant.ws, stale.message)
        except (Refused, Unavailable) as problem:
            _log.info("run %s was not granted: %s", grant.run, problem)
            self._refuse(view, grant)
        except Exception:  # noqa: BLE001 - a run must not stay in the air, whatever went wrong with its grant
            _log.exception("the grant of run %s failed", grant.run)
            self._refuse(view, grant)
        else:
            self.forget(grant.ws, grant.run)
            view.granting.discard(grant.run)
            if not committed.decided:
                view.unknown.add(grant.run)  # it was granted before, unknown to us

    def _refuse(self, view: View, grant: Grant) -> None:
        key = (grant.ws, grant.run)
        self._refusals[key] = self._refusals.get(key, 0) + 1
        self._refused(view, grant)
