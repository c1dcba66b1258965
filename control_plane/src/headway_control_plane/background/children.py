"""Makes the runs that runs ask for, tells who asked when one is refused, and cancels those whose parent was cancelled.

Everything follows from rows, and every step may be done twice: whenever this process dies, the next look goes on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.errors import UseCaseError
from headway_control_plane.application.ports import CommitNotice, Log
from headway_control_plane.application.start_child import (
    WantedRun,
    refusal_code,
    refusal_told,
    start_child,
    tell_refusal,
)
from headway_control_plane.clock import Clock
from headway_control_plane.db.outages import OUTAGES
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.dispatch.quarantine import Quarantine
from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.run.events import (
    RunCancelled,
    RunCancelRequested,
    RunSuspended,
)

_SQL = load_queries("headway_control_plane.background", "children.sql")
MOST = 200
AT_ONCE = 20
_TERMINAL = frozenset({"completed", "failed", "crashed", "cancelled"})
_FIRST = UUID(int=0)
_MAY_MATTER = (RunSuspended, RunCancelRequested, RunCancelled)


class HeldShards(Protocol):
    """The shards that are this replica's now."""

    def held(self) -> Mapping[int, int]: ...


@dataclass(frozen=True, slots=True)
class _Settled:
    ws: int
    parent: UUID
    call: bytes
    settled: bool
    fence: int
    refused: str = ""
    refusal: bytes = b""


class Children:
    """Work of a service."""

    name = "children"

    def __init__(
        self,
        database: Database,
        log: Log,
        catalogue: Catalogue,
        shards: HeldShards,
        clock: Clock,
        *,
        interval: timedelta = timedelta(seconds=1),
    ) -> None:
        self._database = database
        self._log = log
        self._catalogue = catalogue
        self._shards = shards
        self._wake: Callable[[], None] = lambda: None
        self._interval = interval
        self._heard_up_to = _FIRST
        self.quarantine = Quarantine[tuple[int, UUID]]("child run", clock)

    @property
    def interval(self) -> float:
        return self._interval.total_seconds()

    def on_wake(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_commit(self, notice: CommitNotice) -> None:
        if notice.wants_runs or any(isinstance(d.event, _MAY_MATTER) for d in notice.decided):
            self._wake()

    async def run_once(self) -> bool:
        shards = list(self._shards.held())
        if not shards:
            return False
        self.quarantine.prune()
        asked = await self._read("unsettled", shards)
        by_workspace: defaultdict[int, list[tuple[UUID, bytes, UUID]]] = defaultdict(list)
        for ws, parent, call, run in [*asked, *await self._unheard(shards)]:
            by_workspace[ws].append((parent, call, run))
        for ws, calls in by_workspace.items():
            await self._carry_out(ws, calls)
        abandoned = await self._read("abandoned", shards)
        for some in _lots(abandoned):
            await asyncio.gather(*(self._cancel(ws, run) for ws, run in some))
        return max(len(asked), len(abandoned)) >= MOST

    async def _unheard(self, shards: Sequence[int]) -> list[tuple[Any, ...]]:
        """The next of those that were refused; none of them is a reason to look again at once."""
        found = await self._read("unheard", shards, after=self._heard_up_to)
        self._heard_up_to = found[-1][3] if len(found) >= MOST else _FIRST
        return found

    async def _carry_out(self, ws: int, calls: Sequence[tuple[UUID, bytes, UUID]]) -> None:
        try:
            wishes = await self._wanted(ws, calls)
        except OUTAGES:
            raise
        except Exception as error:  # noqa: BLE001 - one workspace's rows must not stop the others
            for _, _, run in calls:
                self.quarantine.set_aside((ws, run), error)
            return
        for some in _lots(wishes):
            settled = await asyncio.gather(*(self._one(ws, wanted) for wanted in some))
            await self._settle([each for each in settled if each is not None])

    async def _wanted(self, ws: int, calls: Sequence[tuple[UUID, bytes, UUID]]) -> list[WantedRun]:
        named = {
            "ws": ws,
            "parents": [parent for parent, _, _ in calls],
            "calls": [call for _, call, _ in calls],
        }
        async with self._database.transaction(Role.APP, ws=ws) as connection:
            rows = await (await connection.execute(_SQL["wanted"], named)).fetchall()
        return [_wanted(row) for row in rows]

    async def _one(self, ws: int, wanted: WantedRun) -> _Settled | None:
        try:
            settled = await self._start(ws, wanted)
        except OUTAGES:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
            self.quarantine.set_aside((ws, wanted.run), error)
            return None
        self.quarantine.works((ws, wanted.run))
        return settled

    async def _start(self, ws: int, wanted: WantedRun) -> _Settled:
        try:
            is_done = await start_child(self._log, self._catalogue, ws, wanted)
        except (UseCaseError, Refused) as error:
            is_told = not wanted.waited or wanted.parent_status in _TERMINAL
            is_told = is_told or await tell_refusal(self._log, ws, wanted, error)
            why = refusal_code(error), refusal_told(error)
            return _Settled(ws, wanted.parent, wanted.call, is_told, wanted.fence, *why)
        return _Settled(ws, wanted.parent, wanted.call, is_done, wanted.fence)

    async def _cancel(self, ws: int, run: UUID) -> None:
        command = CancelRun(run, "the run that started it was cancelled")
        try:
            await self._log.execute(ws, command, actor="system")
        except OUTAGES:
            raise
        except Refused:
            return  # it ended meanwhile
        except Exception as error:  # noqa: BLE001 - as above
            self.quarantine.set_aside((ws, run), error)

    async def _settle(self, settled: Sequence[_Settled]) -> None:
        if not settled:
            return
        columns: Mapping[str, Any] = {
            "workspaces": [each.ws for each in settled],
            "parents": [each.parent for each in settled],
            "calls": [each.call for each in settled],
            "settled": [each.settled for each in settled],
            "fences": [each.fence for each in settled],
            "refused": [each.refused for each in settled],
            "refusals": [each.refusal for each in settled],
        }
        async with self._database.statements(Role.DISPATCHER) as connection:
            await connection.execute(_SQL["settle"], columns)

    async def _read(self, name: str, shards: Sequence[int], **more: Any) -> list[tuple[Any, ...]]:
        aside = [run for _, run in self.quarantine.resting()]
        parameters = {"shards": shards, "aside": aside, "most": MOST, **more}
        async with self._database.statements(Role.DISPATCHER) as connection:
            return await (await connection.execute(_SQL[name], parameters)).fetchall()


def _wanted(row: Sequence[Any]) -> WantedRun:
    *plain, parents, calls, refusals = row
    before = list(zip(parents, map(bytes, calls), refusals, strict=True))
    return WantedRun(*plain, before)  # type: ignore[call-arg] # 17 of the row


def _lots(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """So many at a time as one flush can carry without holding others up."""
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))
