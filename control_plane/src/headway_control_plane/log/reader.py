"""The log's reading side: pages from any cursor, one stream, and history with live events in one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from headway_control_plane.application.ports import (
    START,
    Bookmark,
    Cursor,
    EpochChanged,
    Page,
    Recorded,
    UnknownWorkspace,
    Witness,
)
from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.heads import HeadWatch
from headway_control_plane.log.upcast import decode_any

PAGE = 500
# So near the end, filtering the log beats sorting streams.
_NEAR = 5_000
_SQL = load_queries("headway_control_plane.log", "reader.sql")
_LIVE_ROLES = frozenset({Role.APP, Role.AUDITOR})


class Reader:
    """Implements `application.ports.LogReader`, as the app, the auditor or the projector.

    A cursor is good as long as its epoch is the log's present one: events written in earlier epochs and kept are read
    under the present epoch too. An attempt's stream with fence 0 stands for all attempts of that run.
    """

    def __init__(
        self, database: Database, *, heads: HeadWatch | None = None, role: Role = Role.APP
    ) -> None:
        self._database = database
        self._heads = heads
        self._role = role

    async def head(self, ws: int) -> Witness:
        async with self._reading(ws) as connection:
            return await _head(connection, ws)

    async def read(
        self, ws: int, after: Cursor, limit: int = PAGE, streams: Sequence[Stream] | None = None
    ) -> list[Recorded]:
        async with self._reading(ws) as connection:
            head = (await _head(connection, ws)).cursor
            return await _read(connection, ws, _checked(ws, after, head), head, limit, streams)

    async def read_before(self, ws: int, before: Cursor, limit: int = PAGE) -> list[Recorded]:
        async with self._reading(ws) as connection:
            head = (await _head(connection, ws)).cursor
            _checked(ws, before, head)
            page = {"ws": ws, "before": before.offset, "limit": limit}
            rows = await (await connection.execute(_SQL["before"], page)).fetchall()
            return [_recorded(row, head.epoch) for row in reversed(rows)]

    async def read_stream(
        self, ws: int, stream: Stream, after_version: int = 0, limit: int = PAGE
    ) -> list[Recorded]:
        page = {
            "ws": ws,
            "kind": int(stream.kind),
            "id": stream.id,
            "fence": stream.fence,
            "after": after_version,
            "limit": limit,
        }
        async with self._reading(ws) as connection:
            rows = await (await connection.execute(_SQL["stream"], page)).fetchall()
            return [_recorded(row[:-1], row[-1]) for row in rows]

    async def follow(
        self, ws: int, after: Cursor, streams: Sequence[Stream] | None = None
    ) -> AsyncIterator[Page | Bookmark]:
        """Yield history, then what comes, in one; a bookmark each time that the end is reached.

        Raises:
            EpochChanged: At the beginning, or in the midst when the log changes under the reader.
        """
        if self._heads is None:
            raise TypeError("this reader was made without a head watch and cannot follow")
        with self._heads.watch(ws) as watched:
            while True:
                seen = watched.mark()
                look = partial(self._look, ws, after, streams)
                # Readers of single streams rarely stand at the same place with the same wish.
                head, events = await (
                    watched.look(seen, after, look) if streams is None else look()
                )
                if events:
                    after = events[-1].cursor
                    yield events
                if len(events) < PAGE:
                    after = head
                    yield Bookmark(head)
                    await watched.changed(seen)

    async def _look(
        self, ws: int, after: Cursor, streams: Sequence[Stream] | None
    ) -> tuple[Cursor, Page]:
        async with self._reading(ws) as connection:
            head = (await _head(connection, ws)).cursor
            place = _checked(ws, after, head)
            return head, Page(await _read(connection, ws, place, head, PAGE, streams))

    async def blobs(self, ws: int, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        wanted = list(digests)
        if not wanted:
            return {}
        async with self._reading(ws) as connection:
            found = await connection.execute(_SQL["blobs"], {"ws": ws, "digests": wanted})
            return dict(await found.fetchall())

    def _reading(self, ws: int) -> AbstractAsyncContextManager[Connection]:
        if self._role in _LIVE_ROLES:
            return self._database.transaction(self._role, ws=ws)
        return self._database.transaction(self._role, workspaces=(ws,))


async def _head(connection: Connection, ws: int) -> Witness:
    row = await (await connection.execute(_SQL["head"], {"ws": ws})).fetchone()
    if row is None:
        raise UnknownWorkspace(ws)
    epoch, offset, chain = row
    return Witness(Cursor(epoch, offset), chain)


def _checked(ws: int, cursor: Cursor, head: Cursor) -> int:
    """Return the offset of a cursor that belongs to the present log."""
    if cursor == START:
        return 0
    if cursor.epoch != head.epoch or cursor.offset > head.offset:
        raise EpochChanged(ws, cursor, head)
    return cursor.offset


async def _read(
    connection: Connection,
    ws: int,
    after: int,
    head: Cursor,
    limit: int,
    streams: Sequence[Stream] | None,
) -> list[Recorded]:
    if after >= head.offset:
        return []
    page: dict[str, Any] = {"ws": ws, "after": after, "until": head.offset, "limit": limit}
    name = "after"
    if streams is not None:
        page["kinds"] = [int(stream.kind) for stream in streams]
        page["ids"] = [stream.id for stream in streams]
        page["fences"] = [stream.fence for stream in streams]
        name = "after_near" if head.offset - after <= _NEAR else "after_far"
    rows = await (await connection.execute(_SQL[name], page)).fetchall()
    return [_recorded(row, head.epoch) for row in rows]


def _recorded(row: Sequence[Any], present_epoch: int) -> Recorded:
    offset, epoch, seg, kind, id_, fence, version, type_, schema_version, event_id, *rest = row
    return Recorded(
        cursor=Cursor(present_epoch, offset),
        epoch=epoch,
        seg=seg,
        stream=Stream(StreamKind(kind), id_, fence),
        version=version,
        type=type_,
        schema_version=schema_version,
        event_id=event_id,
        occurred_at=rest[0],
        recorded_at=rest[1],
        actor=rest[2],
        causation=rest[3],
        traceparent=rest[4],
        payload=rest[5],
        chain=rest[6],
        decoder=_decode,
    )


def _decode(recorded: Recorded) -> Any:
    return decode_any(recorded.type, recorded.schema_version, recorded.payload)
