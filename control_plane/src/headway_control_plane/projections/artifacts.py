"""What runs left for people to look at: artifacts by key, by run, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from headway_control_plane.application.ports import LogReader
from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries

SQL = load_queries("headway_control_plane.projections", "artifacts.sql")
KINDS = ("markdown", "table", "link", "image", "progress")
NEWEST = 2**62


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """An artifact. `number` is which version of its key it is, 0 without a key. `content` and `description` are digests, empty where
    the pool withholds them; `text` is the description, where it was asked for and is there.
    """

    run: UUID
    id: bytes
    fence: int
    call: bytes
    kind: str
    key: str
    number: int
    latest: bool
    media_type: str
    size_bytes: int
    content: bytes
    description: bytes
    percent: float | None
    first_offset: int
    saved_at: datetime
    updated_at: datetime
    text: str = ""

    @property
    def withheld(self) -> bool:
        """Whether the pool kept what it is about in the customer's network."""
        return self.percent is None if self.kind == "progress" else not self.content


async def latest(
    connection: Connection,
    ws: int,
    *,
    kind: str | None = None,
    prefix: str = "",
    after: str = "",
    limit: int = 100,
) -> list[ArtifactView]:
    """The newest artifact of each key behind `after`."""
    values = {"kind": kind, "prefix": prefix, "after": after, "limit": limit}
    return await _views(connection, "latest", ws, values)


async def history(
    connection: Connection, ws: int, key: str, *, before: int = NEWEST, limit: int = 100
) -> list[ArtifactView]:
    """The artifacts of a key below a number, the newest first."""
    values = {"key": key, "before": before, "limit": limit}
    return await _views(connection, "history", ws, values)


async def of_run(
    connection: Connection,
    ws: int,
    run: UUID,
    *,
    kind: str | None = None,
    prefix: str = "",
    after: int = 0,
    limit: int = 100,
) -> list[ArtifactView]:
    """A run's artifacts behind an offset, in the order in which they were saved."""
    values = {"run": run, "kind": kind, "prefix": prefix, "after": after, "limit": limit}
    return await _views(connection, "of_run", ws, values)


async def one(connection: Connection, ws: int, run: UUID, artifact: bytes) -> ArtifactView | None:
    """One artifact of a run."""
    found = await _views(connection, "one", ws, {"run": run, "id": artifact})
    return found[0] if found else None


async def described(
    reader: LogReader, ws: int, views: Iterable[ArtifactView]
) -> list[ArtifactView]:
    """The artifacts with their descriptions, but for those that were erased or withheld."""
    views = list(views)
    wanted = {view.description for view in views if view.description}
    return with_texts(views, await reader.blobs(ws, wanted) if wanted else {})


def with_texts(views: Iterable[ArtifactView], texts: Mapping[bytes, bytes]) -> list[ArtifactView]:
    """The same of artifacts whose descriptions were read already, as far as they are there."""
    return [
        replace(view, text=texts.get(view.description, b"").decode("utf-8", "replace"))
        for view in views
    ]


async def _views(
    connection: Connection, query: str, ws: int, values: Mapping[str, Any]
) -> list[ArtifactView]:
    done = await connection.execute(SQL[query], {"ws": ws, **values})
    rows: Sequence[Row] = await done.fetchall()
    return [ArtifactView(*row) for row in rows]
