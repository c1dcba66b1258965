"""Acts on deadlines and leases of our shards: one statement a process and second, judged by the database's clock alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from headway_control_plane.application.ports import CommitNotice, Log
from headway_control_plane.clock import Clock
from headway_control_plane.db.outages import OUTAGES
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.dispatch.quarantine import Quarantine, piecewise
from headway_control_plane.dispatch.shards import ShardsChanged
from headway_control_plane.domain.brake import HOLD, held_until
from headway_control_plane.domain.commands import Command, FireDeadline, LoseAttempt, LoseSession
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.state import DeadlineKind
from headway_control_plane.domain.session.events import SessionClosed
from headway_control_plane.domain.streams import Stream, StreamKind

_log = logging.getLogger(__name__)
_SQL = load_queries("headway_control_plane.background", "sweeper.sql")
ACTOR = "sweeper"
_LEASE = "lease"
_KINDS = frozenset({_LEASE, *DeadlineKind})
_STREAMS = frozenset(StreamKind)
# What gives runs to somebody else: held back after an absence of ours and by the brake, as the statement `due` does.
_REASSIGNING = frozenset({DeadlineKind.REASSIGN, DeadlineKind.START, DeadlineKind.HOME})


class HeldShards(Protocol):
    """The shards that are this replica's now."""

    def held(self) -> Mapping[int, int]: ...


@dataclass(frozen=True, slots=True)
class SweeperSettings:
    """`orphan_interval`: the safety net."""

    policy: Policy = field(default_factory=Policy)
    interval: timedelta = timedelta(seconds=1)
    brake_hold: timedelta = HOLD
    orphan_interval: timedelta = timedelta(seconds=10)
    most: int = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A deadline or lease that has passed."""

    ws: int
    stream: Stream
    shard: int
    kind: str
    due_at: datetime
    now: datetime
    session: UUID | None = None  # of a run that was never heard to start

    def command(self) -> Command:
        if self.kind == _LEASE:
            return LoseSession(self.stream.id)
        return FireDeadline(self.stream, DeadlineKind(self.kind), self.due_at, self.session)


class Sweeper:
    """Work of a service. `on_shards` and `on_commit` listen; both only note what the next look has to do."""

    name = "sweeper"

    def __init__(
        self,
        database: Database,
        log: Log,
        shards: HeldShards,
        clock: Clock,
        settings: SweeperSettings | None = None,
    ) -> None:
        self._database = database
        self._log = log
        self._shards = shards
        self._clock = clock
        self._settings = settings or SweeperSettings()
        self._gained: set[int] = set()
        self._resting: dict[int, float] = {}  # shard -> until when, monotonic
        self._braked: set[int] = set()
        self._closed: set[tuple[int, UUID]] = set()
        self._orphans_at = float("-inf")
        # Streams whose command, and shards whose rows, failed in a way that nobody foresaw.
        self.quarantine = Quarantine[tuple[int, UUID]]("stream", clock)
        self.unreadable = Quarantine[int]("shard", clock)

    @property
    def interval(self) -> float:
        return self._settings.interval.total_seconds()

    def rests(self, shard: int) -> bool:
        """Whether nothing of this shard is reassigned at present."""
        return self._resting.get(shard, float("-inf")) > self._clock.monotonic()

    def on_shards(self, changed: ShardsChanged) -> None:
        """Somebody was away, we or the owner before us: whoever is still there gets the time to say so."""
        self._gained = (self._gained | changed.gained) - changed.lost
        self._braked -= changed.lost
        for shard in changed.lost:
            self._resting.pop(shard, None)

    def on_commit(self, notice: CommitNotice) -> None:
        if notice.shard not in self._shards.held():
            return
        for decided in notice.decided:
            event = decided.event
            if isinstance(event, SessionClosed) and not event.handover:
                self._closed.add((notice.ws, decided.stream.id))

    async def run_once(self) -> bool:
        held = self._readable()
        if not held:
            return False
        if gained := self._gained & held:
            await self._push_leases(gained)
        due = await self._due(held)
        await self._act(await self._unbraked(due))
        lost = await self._lose_orphans(self._readable())
        return max(len(due), lost) >= self._settings.most

    async def _push_leases(self, gained: set[int]) -> None:
        parameters = {"shards": list(gained), "extension": self._settings.policy.hearing}
        async with self._database.statements(Role.DISPATCHER) as connection:
            await connection.execute(_SQL["push_leases"], parameters)
        until = self._clock.monotonic() + self._settings.policy.hearing.total_seconds()
        self._resting |= dict.fromkeys(gained, until)
        self._gained -= gained

    async def _due(self, held: Collection[int]) -> list[Due]:
        now = self._clock.monotonic()
        self._resting = {shard: until for shard, until in self._resting.items() if until > now}
        rows = await self._read_shards(
            "due", held, resting=list(self._resting), most=self._settings.most
        )
        return [
            Due(ws, Stream(StreamKind(kind), id_), shard, what, due_at, at, session)
            for ws, kind, id_, shard, what, due_at, at, session in rows
            # What a newer version of us wrote is left to it.
            if what in _KINDS and kind in _STREAMS
        ]

    async def _unbraked(self, due: list[Due]) -> list[Due]:
        """Leave out what the brake holds back, and let those shards rest."""
        reassigning = {item.shard for item in due if item.kind in _REASSIGNING}
        if not reassigning:
            return due
        rows = await self._read_shards("losses", reassigning)
        policy = self._settings.policy
        for shard, live, lost_at in rows:
            until = held_until(lost_at, live, policy.lease_ttl, self._settings.brake_hold)
            if until is not None and until > due[0].now:
                left = (until - due[0].now).total_seconds()
                # Looked at again soon: the agents that return end the rest.
                rest = min(left, policy.renew_interval.total_seconds())
                self._resting[shard] = self._clock.monotonic() + rest
                self._braked.add(shard)
                _log.warning(
                    "shard %d: %d sessions lost, %d there; nothing is reassigned for at most %.0f s",
                    shard,
                    len(lost_at),
                    live,
                    left,
                )
            elif shard in self._braked:
                # Who has just come back gets the time to say what it holds and has begun.
                self._braked.discard(shard)
                self._resting[shard] = (
                    self._clock.monotonic() + self._settings.policy.hearing.total_seconds()
                )
        return [
            item
            for item in due
            if item.kind not in _REASSIGNING
            or not (item.shard in self._resting or self.unreadable.rests(item.shard))
        ]

    async def _lose_orphans(self, held: Collection[int]) -> int:
        """End open attempts of sessions that were closed for good; return how many there were."""
        rows = await self._orphans(held)
        await self._execute(
            (ws, run, LoseAttempt(run, fence, session=session)) for ws, run, fence, session in rows
        )
        return len(rows)

    async def _orphans(self, held: Collection[int]) -> list[tuple[Any, ...]]:
        most, now, closed = self._settings.most, self._clock.monotonic(), list(self._closed)
        if now >= self._orphans_at:
            rows = await self._read_shards("orphans", held, most=most)
        elif closed:
            rows = await self._read(
                "orphans_of_sessions",
                workspaces=[ws for ws, _ in closed],
                sessions=[session for _, session in closed],
                aside=self._aside(),
                most=most,
            )
        else:
            return []
        if len(rows) < most:
            self._closed.difference_update(closed)
            if now >= self._orphans_at:
                self._orphans_at = now + self._settings.orphan_interval.total_seconds()
        return rows

    async def _act(self, due: Iterable[Due]) -> None:
        await self._execute((item.ws, item.stream.id, item.command()) for item in due)

    async def _execute(self, commands: Iterable[tuple[int, UUID, Command]]) -> None:
        """Carry out all of them together. One that is refused was overtaken by something else; one that breaks is set aside."""
        named = [item for item in commands if not self.quarantine.rests(item[:2])]
        results = await asyncio.gather(
            *(self._log.execute(ws, command, actor=ACTOR) for ws, _, command in named),
            return_exceptions=True,
        )
        for (ws, stream, _), result in zip(named, results, strict=True):
            if isinstance(result, Refused):
                _log.info("overtaken: %s", result.message)
            elif isinstance(result, Exception) and not isinstance(result, OUTAGES):
                self.quarantine.set_aside((ws, stream), result)
                continue
            elif isinstance(result, BaseException):
                raise result
            self.quarantine.works((ws, stream))
        self.quarantine.prune()

    def _aside(self) -> list[UUID]:
        return [stream for _, stream in self.quarantine.resting()]

    async def _read_shards(
        self, name: str, shards: Collection[int], **parameters: Any
    ) -> list[tuple[Any, ...]]:
        """Read rows of these shards. One whose rows can't be read rests; nothing is reassigned there that was not looked at."""

        async def read(some: list[int]) -> list[tuple[Any, ...]]:
            return await self._read(name, shards=some, aside=self._aside(), **parameters)

        self.unreadable.prune()
        parts = await piecewise(shards, read, self.unreadable.set_aside)
        return [row for rows in parts for row in rows]

    def _readable(self) -> set[int]:
        return self._shards.held().keys() - self.unreadable.resting()

    async def _read(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self._database.statements(Role.DISPATCHER) as connection:
            cursor = await connection.execute(_SQL[name], parameters)
            return await cursor.fetchall()
