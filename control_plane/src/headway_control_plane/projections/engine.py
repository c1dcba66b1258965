"""Keeps read models up with the log: takes hints, steps through workspaces fairly, lets readers wait for what they wrote.

Nothing here is truth: what a step did stands in its checkpoint, so an engine may die at any moment, and two may run at once
(the checkpoint's row lock makes the second wait).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence

from psycopg import OperationalError

from headway_control_plane.application.ports import Cursor, EpochChanged, LogReader
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.advance import BATCH, Step, advance
from headway_control_plane.projections.read_model import Freshness, ReadModel

_log = logging.getLogger(__name__)

# A reader that waits looks at the checkpoint itself this often, in case another replica moves it.
_LOOK_AGAIN_SECONDS = 0.1


class ProjectionEngine:
    """Folds the log into read models, one bounded step of one workspace at a time."""

    def __init__(
        self,
        database: Database,
        reader: LogReader,
        models: Sequence[ReadModel],
        *,
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._reader = reader
        self._models = models
        self._batch = batch
        # Workspaces with news, in the order of their turns; a workspace with more to read goes to the end.
        self._turns: deque[int] = deque()
        self._queued: set[int] = set()
        self._stopped: dict[tuple[int, str], str] = {}
        self._on_mark: Callable[[], None] = lambda: None
        self._moved = asyncio.Event()

    async def prepare(self) -> None:
        """Choose a version to read for models that are new to this database."""
        async with self._database.transaction(Role.PROJECTOR) as connection:
            for model in self._models:
                await connection.execute(checkpoints.SQL["activate"], {"projection": model.name})

    def on_mark(self, wake: Callable[[], None]) -> None:
        """Name whom to wake when a workspace has news."""
        self._on_mark = wake

    def wake(self) -> None:
        """Have a turn taken soon, although no workspace is marked yet."""
        self._on_mark()

    def mark(self, ws: int) -> None:
        """Give a workspace a turn. Marks before that turn fold into it."""
        if ws not in self._queued:
            self._queued.add(ws)
            self._turns.append(ws)
        self._on_mark()

    async def sweep(self, shards: Collection[int]) -> None:
        """Mark workspaces of these shards that are behind, with one statement: hints may have been lost."""
        for model in self._models:
            async with self._database.statements(Role.DISPATCHER) as connection:
                found = await connection.execute(
                    checkpoints.SQL["behind"],
                    {"projection": model.name, "shards": sorted(shards)},
                )
                for (ws,) in await found.fetchall():
                    if (ws, model.name) not in self._stopped:
                        self.mark(ws)

    async def run_once(self) -> bool:
        """Take one turn: a step of each model over the next workspace. Says whether more turns wait."""
        if not self._turns:
            return False
        ws = self._turns.popleft()
        self._queued.discard(ws)
        for model in self._models:
            await self._step(model, ws)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        return bool(self._turns)

    async def catch_up(self) -> None:
        """Take turns until none waits."""
        while await self.run_once():
            pass

    async def _step(self, model: ReadModel, ws: int) -> None:
        if (ws, model.name) in self._stopped:
            return
        try:
            step = await advance(self._database, self._reader, model, ws, batch=self._batch)
        except OperationalError:
            self.mark(ws)
            raise
        self._note_failure(model, ws, step)
        if step.more:
            self.mark(ws)

    def _note_failure(self, model: ReadModel, ws: int, step: Step) -> None:
        if not step.checkpoint.failure:
            return
        self._stopped[ws, model.name] = step.checkpoint.failure
        _log.error(
            "The projection %s stands still for workspace %d: %s. Once the code is put right: "
            "headway projections rebuild %s",
            model.name,
            ws,
            step.checkpoint.failure,
            model.name,
        )

    async def freshness(self, ws: int, projection: str) -> Freshness:
        """Say how far a projection lies behind the log."""
        async with self._database.transaction(Role.APP, ws=ws) as connection:
            return await checkpoints.freshness(connection, ws, projection)

    async def wait_until(
        self, ws: int, projection: str, cursor: Cursor, seconds: float = 2.0
    ) -> bool:
        """Wait until a projection shows what `cursor` stands for (read your writes); False when it takes too long.

        Raises EpochChanged for a cursor of another history.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await self._shows(ws, projection, cursor):
                    await self._next_move(ws)
        except TimeoutError:
            return False
        return True

    async def _shows(self, ws: int, projection: str, cursor: Cursor) -> bool:
        now = await self.freshness(ws, projection)
        if cursor.epoch > now.head.epoch or cursor.offset > now.head.offset:
            raise EpochChanged(ws, cursor, now.head)
        return now.checkpoint.offset >= cursor.offset

    async def _next_move(self, ws: int) -> None:
        self.mark(ws)
        try:
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await self._moved.wait()
        except TimeoutError:
            return  # perhaps another replica moved it: look again
