"""Creates workspaces: the directory's row, the head of the log, and the log's first event."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from headway_control_plane.application.ports import CommitNotice, Cursor, Workspace
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.streams import Decided, Stream, StreamKind
from headway_control_plane.domain.workspace.events import WorkspaceCreated
from headway_control_plane.ids import IdSource
from headway_control_plane.log import chain, packed
from headway_control_plane.log.codec import encode
from headway_control_plane.log.columns import EventColumns, Source, group_of_one
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.flush import lock_heads, read_heads, write_events

SHARDS = 1024
_SQL = load_queries("headway_control_plane.log", "founding.sql")


def shard_of(workspace: UUID) -> int:
    """Return the shard of a workspace, for ever the same."""
    return int.from_bytes(sha256(workspace.bytes).digest()[:4]) % SHARDS


class Founder:
    """Creates a workspace by its name. Each step finds what an interrupted attempt left, and goes on from there."""

    def __init__(self, database: Database, *, ids: IdSource, event_ids: EventIds) -> None:
        self._database = database
        self._ids = ids
        self._event_ids = event_ids

    async def found(self, name: str, *, actor: str) -> tuple[Workspace, CommitNotice | None]:
        """Return the workspace of this name, and the notice of its first event if that was appended now."""
        workspace = await self._find(name)
        if workspace is None:
            id_ = self._ids()
            async with self._database.transaction(Role.COMMITTER, workspaces=()) as connection:
                await connection.execute(_SQL["enter_workspace"], [id_, name, shard_of(id_)])
            workspace = await self._find(name)
        assert workspace is not None, "the row was just written"
        return workspace, await self._open_log(workspace, actor)

    async def _find(self, name: str) -> Workspace | None:
        async with self._database.transaction(Role.AUTH) as connection:
            row = await (await connection.execute(_SQL["find_workspace"], [name])).fetchone()
            return None if row is None else Workspace(*row)

    async def _open_log(self, workspace: Workspace, actor: str) -> CommitNotice | None:
        stream = Stream(StreamKind.WORKSPACE, workspace.id)
        event = WorkspaceCreated(workspace.name)
        async with self._database.transaction(
            Role.COMMITTER, workspaces=(workspace.ws,)
        ) as connection:
            packed.register(connection)
            await connection.execute(_SQL["enter_head"], [workspace.ws, chain.origin(workspace.id)])
            heads, now = await read_heads(*await lock_heads(connection, (workspace.ws,)))
            head = heads[workspace.ws]
            if head.offset:
                return None
            encoded = encode(event)
            (event_id,) = self._event_ids.take(1)
            group = group_of_one(
                encoded.type, encoded.schema_version, event_id, now, encoded.payload
            )
            columns = EventColumns()
            columns.append(head, stream, 1, group, Source.of(actor, None, ""))
            await write_events(connection, columns, [head])
        place = Cursor(head.epoch, head.offset)
        return CommitNotice(
            workspace.ws, workspace.shard, place, place, (Decided(stream, event),), now
        )
