"""Gives runs to sessions: the adapter around the core in `domain.dispatching`, for the shards that this replica owns."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

from headway_control_plane.application.ports import (
    CommitNotice,
    Log,
    Reaction,
)
from headway_control_plane.clock import Clock
from headway_control_plane.dispatch.database_time import DatabaseTime
from headway_control_plane.dispatch.granting import Granting
from headway_control_plane.dispatch.quarantine import Quarantine, piecewise
from headway_control_plane.dispatch.rows import DispatchRows
from headway_control_plane.dispatch.shards import ShardsChanged
from headway_control_plane.dispatch.view import RunRow, View
from headway_control_plane.domain.commands import AttemptOver, Command, CreateRun
from headway_control_plane.domain.dispatching import Dispatching
from headway_control_plane.domain.dispatching_words import (
    Broken,
    Effect,
    Forget,
    Grant,
    Input,
    Tick,
    Wait,
)

_log = logging.getLogger(__name__)
_WAITS_A_LOOK = 500


class OwnedShards(Protocol):
    """Which shards are ours, and since which epoch."""

    def held(self) -> Mapping[int, int]: ...

    def epoch_of(self, shard: int) -> int | None: ...


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """`reload_interval` is the safety net; `reload_pause` the least time between two loads that hints ask for."""

    reload_interval: timedelta = timedelta(seconds=60)
    reload_pause: timedelta = timedelta(milliseconds=100)
    workspaces_a_load: int = 200


class Dispatcher:
    """Work of a service. Woken by commits, hints, changed shards and one timer for the earliest due time; it never polls."""

    name = "dispatcher"

    def __init__(
        self,
        rows: DispatchRows,
        log: Log,
        shards: OwnedShards,
        clock: Clock,
        *,
        settings: DispatcherSettings | None = None,
    ) -> None:
        self._rows = rows
        self._shards = shards
        self._clock = clock
        self._time = DatabaseTime(clock)
        self._wake: Callable[[], None] = lambda: None
        self._settings = settings or DispatcherSettings()
        self._core = Dispatching()
        self._views: dict[int, View] = {}
        self._shard_of: dict[int, int] = {}
        self._notices: deque[CommitNotice] = deque()
        self._inputs: list[Input] = []
        self._waits: list[Wait] = []
        self._reading = False
        self._gained: set[int] = set()
        self._to_load: set[int] = set()
        self._load_again_at = float("-inf")
        self._loaded_all_at = float("-inf")
        self._granting = Granting(log, self._after_refusal)
        self._doubted: set[tuple[int, UUID]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ticked = False
        self._retried: set[int] = set()
        self.quarantine = Quarantine[int]("workspace", clock)

    @property
    def interval(self) -> float:
        return self._settings.reload_interval.total_seconds()

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Name what makes the dispatcher look: the wake of the service that runs it."""
        self._wake = wake

    def waiting(self) -> int:
        """How many runs of our shards wait, due or not."""
        return self._core.waiting()

    def on_commit(self, notice: CommitNotice) -> None:
        self._time.observe(notice.now)
        if notice.decided and notice.shard in self._shards.held():
            self._notices.append(notice)
            self._wake()

    def on_hint(self, shard: int) -> None:
        """Another replica committed in this shard: what we know of it may be old."""
        if shard in self._shards.held():
            self._gained.add(shard)  # its workspaces are looked up too: one may be new
            self._wake()

    def on_shards(self, changed: ShardsChanged) -> None:
        self._drop(ws for ws, of in self._shard_of.items() if of in changed.lost | changed.gained)
        self._gained = (self._gained | changed.gained) - changed.lost
        self._wake()

    def foresee(self, ws: int, commands: Sequence[Command]) -> list[Reaction]:
        """Give ahead, in the same flush, what these commands bring about: runs that are created get free slots, and attempts
        that end leave theirs to whoever waits. If a command is not carried out, neither is the grant that hangs on it.
        """
        view, shard = self._views.get(ws), self._shard_of.get(ws, -1)
        epoch = self._shards.epoch_of(shard)
        # What is being read may be older than what would be folded behind it.
        is_old = self._reading or ws in self._to_load or shard in self._gained
        if view is None or epoch is None or is_old or self.quarantine.rests(ws):
            return []
        try:
            ahead = self._foreseen(view, commands)
            return [self._granting.react(view, grant, epoch) for grant in ahead]
        except Exception as error:  # noqa: BLE001 - set aside with its error
            self._set_aside(ws, error)
            return []

    def _foreseen(self, view: View, commands: Sequence[Command]) -> list[Grant]:
        """What is given of this workspace, behind what was committed so far."""
        self._fold_notices()
        now = self._time.now()
        inputs, self._inputs = self._inputs, []
        effects = self._core.step(now, *inputs)
        for command in commands:
            match command:
                case CreateRun() if (run := view.begins(command, now)) is not None:
                    if given := self._core.foresee_run(now, run):
                        view.granted_ahead(run)
                        effects += given
                case AttemptOver(run=run_id) if (end := view.ends(run_id)) is not None:
                    effects += self._core.foresee_end(now, end)
        self._wake()  # for reasons to write, and the timer
        return self._carry_out(effects, ahead_of=view.ws)

    async def run_once(self) -> bool:
        """Read what has to be read, fold what came, ask for grants, write reasons."""
        ticked = self._due()
        self._to_load |= self._shard_of.keys() & self.quarantine.due()
        self._reading = True
        try:
            await self._load()
            self._fold_notices()
            await self._load_unknown()
        finally:
            self._reading = False
        inputs, self._inputs = self._inputs, []
        if ticked:
            inputs.append(Tick())
        if inputs:
            self._carry_out(self._core.step(self._time.now(), *inputs))
        await self._write_waits()
        self._release_retried()
        self._set_timer()
        return bool(self._notices or self._inputs or self._waits or self._loadable())

    def recover(self) -> None:
        """Something failed half way: forget what was folded, and load all of it again."""
        self._core = Dispatching()
        self._views.clear()
        self._shard_of.clear()
        self._notices.clear()
        self._inputs.clear()
        self._waits.clear()
        self._to_load.clear()
        self._doubted.clear()
        self._gained = set(self._shards.held())
        self._load_again_at = float("-inf")

    async def stop(self) -> None:
        """Wait for the grants that are on their way. The service is stopped before."""
        if self._timer is not None:
            self._timer.cancel()
        await self._granting.stop()

    # Loading ------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        now = self._clock.monotonic()
        if now - self._loaded_all_at >= self.interval * 0.8:
            self._gained |= self._shards.held().keys()
            self._loaded_all_at = now
        if self._loadable() and self._gained:
            shards, self._gained = self._gained, set()
            try:
                found, database_time = await self._rows.workspaces(shards)
            except BaseException:
                self._gained |= shards
                raise
            if database_time is not None:
                self._time.observe(database_time)
            self._shard_of |= found
            self._to_load |= found.keys() - self.quarantine.resting()
        if self._loadable() and self._to_load:
            await self._load_some()

    def _loadable(self) -> bool:
        """Whether something is to be loaded and the pause after the last load is over."""
        wanted = bool(self._to_load or self._gained)
        return wanted and self._clock.monotonic() >= self._load_again_at

    async def _load_some(self) -> None:
        chosen = set(list(self._to_load)[: self._settings.workspaces_a_load])
        self._to_load -= chosen
        began = self._clock.monotonic()
        # What is committed from here on is folded behind the rows, whether they show it or not.
        self._fold_notices()
        self._retried |= chosen
        try:
            parts = await piecewise(chosen, self._rows.load, self._set_aside)
        except BaseException:
            self._to_load |= chosen
            self._retried -= chosen
            raise
        for loaded in parts:
            for ws, rows in loaded.items():
                if ws in self._shard_of:
                    self._take_in(ws, partial(self._view(ws).load, rows))
        took = self._clock.monotonic() - began
        # Loading never takes more than a small part of the time, however often hints come.
        pause = max(self._settings.reload_pause.total_seconds(), 5 * took)
        self._load_again_at = self._clock.monotonic() + pause if not self._to_load else began

    async def _load_unknown(self) -> None:
        asked = {view.ws: list(view.unknown) for view in self._views.values() if view.unknown}
        if asked:
            read = partial(self._read_runs, asked)
            for found in await piecewise(asked.keys(), read, self._set_aside):
                for ws, rows in found.items():
                    self._take_in_runs(ws, asked[ws], rows)
        if self._doubted:
            doubted, self._doubted = self._doubted, set()
            sessions = await self._rows.sessions(doubted)
            for ws, session in doubted:
                if ws in self._views:
                    row = sessions.get((ws, session))
                    self._take_in(ws, partial(self._view(ws).load_session, session, row))

    async def _read_runs(
        self, asked: Mapping[int, list[UUID]], workspaces: list[int]
    ) -> dict[int, list[RunRow]]:
        found = await self._rows.runs((ws, run) for ws in workspaces for run in asked[ws])
        return {ws: found.get(ws, []) for ws in workspaces}

    def _take_in_runs(self, ws: int, asked: list[UUID], rows: list[RunRow]) -> None:
        for run in set(asked).difference(row.run for row in rows):
            self._granting.forget(ws, run)
        if ws in self._views:
            rows = [self._granting.penalised(ws, row, self._time.now()) for row in rows]
            self._take_in(ws, partial(self._view(ws).load_runs, rows, asked))

    def _take_in(self, ws: int, fold: Callable[[], Iterable[Input]]) -> None:
        """Fold what became known of a workspace; one that can't be folded is set aside, the others go on."""
        try:
            self._inputs += fold()
        except Exception as error:  # noqa: BLE001 - set aside with its error
            self._set_aside(ws, error)

    def _set_aside(self, ws: int, error: Exception) -> None:
        """Leave a workspace alone for a while; afterwards it is loaded as if it were new."""
        self.quarantine.set_aside(ws, error)
        self._to_load.discard(ws)
        self._retried.discard(ws)
        if self._views.pop(ws, None) is not None:
            self._inputs.append(Forget(ws))

    def _release_retried(self) -> None:
        for ws in self._retried:
            self.quarantine.works(ws)
        self._retried.clear()
        self.quarantine.prune()

    # Folding and carrying out ---------------------------------------------------------------------------------

    def _fold_notices(self) -> None:
        while self._notices:
            notice = self._notices.popleft()
            if notice.shard not in self._shards.held() or self.quarantine.rests(notice.ws):
                continue
            if notice.ws not in self._shard_of:
                self._shard_of[notice.ws] = notice.shard
                self._to_load.add(notice.ws)
            view = self._view(notice.ws)
            self._take_in(notice.ws, partial(view.fold_all, notice.decided))

    def _carry_out(self, effects: Iterable[Effect], *, ahead_of: int | None = None) -> list[Grant]:
        """Returns the grants of the workspace that they are wanted of, to be carried out by the caller."""
        ahead: list[Grant] = []
        for effect in effects:
            match effect:
                case Grant() if effect.ws == ahead_of:
                    ahead.append(effect)
                case Grant():
                    self._begin_grant(effect)
                case Wait():
                    self._waits.append(effect)
                case Broken(ws=ws, error=error):
                    self._set_aside(ws, error)
        return ahead

    def _begin_grant(self, grant: Grant) -> None:
        epoch = self._shards.epoch_of(self._shard_of.get(grant.ws, -1))
        if epoch is None:
            return  # our lease ran out; everything is loaded anew once it is renewed
        self._granting.ask(self._views[grant.ws], grant, epoch)

    def _after_refusal(self, view: View, grant: Grant) -> None:
        """Read run and session again before anything else is given to them."""
        if self._views.get(grant.ws) is not view:
            return
        self._inputs += view.refused(grant.run)
        if grant.instead_of is not None:
            self._inputs += view.did_not_end(grant.instead_of)
        self._doubted.add((grant.ws, grant.session))
        self._wake()

    async def _write_waits(self) -> None:
        if not self._waits:
            return
        now, later = self._waits[:_WAITS_A_LOOK], self._waits[_WAITS_A_LOOK:]
        of: dict[int, list[Wait]] = {}
        for wait in now:
            of.setdefault(wait.ws, []).append(wait)
        write = partial(self._write_waits_of, of)
        await piecewise(of.keys(), write, _unwritten)
        self._waits = later + self._waits[len(now) + len(later) :]

    async def _write_waits_of(self, of: Mapping[int, list[Wait]], workspaces: list[int]) -> None:
        await self._rows.write_waits([wait for ws in workspaces for wait in of[ws]])

    # Housekeeping -----------------------------------------------------------------------------------------

    def _view(self, ws: int) -> View:
        return self._views.setdefault(ws, View(ws))

    def _drop(self, workspaces: Iterable[int]) -> None:
        for ws in list(workspaces):
            self._shard_of.pop(ws, None)
            self._to_load.discard(ws)
            if self._views.pop(ws, None) is not None:
                self._inputs.append(Forget(ws))
        self._granting.prune(self._shard_of)

    def _due(self) -> bool:
        ticked, self._ticked = self._ticked, False
        return ticked

    def _tick(self) -> None:
        self._ticked = True
        self._timer = None
        self._wake()

    def _set_timer(self) -> None:
        """One timer: for the earliest due run, for a reason to be told, or for a load that was put off."""
        now = self._time.now()
        wake_at = self._core.next_wake(now)
        waits = [(wake_at - now).total_seconds()] if wake_at is not None else []
        if self._to_load or self._gained:
            waits.append(self._load_again_at - self._clock.monotonic())
        if (retry_at := self.quarantine.next_try()) is not None:
            waits.append(retry_at - self._clock.monotonic())
        if not waits:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, min(waits))
        if self._timer is not None:
            if self._timer.when() <= at:
                return  # what was promised earlier is not put off
            self._timer.cancel()
        self._timer = loop.call_at(at, self._tick)


def _unwritten(ws: int, error: Exception) -> None:
    """Reasons are for people: without them runs are given out all the same."""
    _log.error("why runs of workspace %s wait can't be written", ws, exc_info=error)
