"""Variables as people look at them, from the inline row: never behind the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select

from headway_control_plane.application.ports import LogReader, Recorded
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import payload, variables
from headway_control_plane.db.variables_json import load_entries
from headway_control_plane.domain.variables.events import (
    VariableEvent,
    VariableSet,
    VariableUnset,
)
from headway_control_plane.domain.variables.state import STREAM, Variable
from headway_control_plane.projections.keyset import Edge, Page
from headway_control_plane.projections.reading import fetch


@dataclass(frozen=True, slots=True)
class VariableView:
    """`erased`: its value was taken out of the log, and no run gets it."""

    name: str
    value: Any
    erased: bool
    tags: tuple[str, ...]
    version: int
    size_bytes: int
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a variable. `value` is JSON text, None where it was erased, or not set. `reason`: why a run's write was refused."""

    name: str
    version: int
    at: datetime
    actor: str
    kind: Literal["set", "unset", "refused"]
    value: str | None
    tags: tuple[str, ...] = ()
    reason: str = ""


async def list_variables(
    connection: Connection,
    ws: int,
    *,
    tag: str | None = None,
    prefix: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[VariableView]:
    """Return a page of variables by name."""
    after = Edge.decode(cursor).key if cursor else ""
    entries = await _entries(connection, ws)
    names = sorted(
        name
        for name, entry in entries.items()
        if name > after and name.startswith(prefix or "") and (tag is None or tag in entry.tags)
    )
    shown = names[:limit]
    views = await _views(connection, ws, {name: entries[name] for name in shown})
    more = len(names) > limit
    return Page(views, next=Edge(shown[-1]).encode() if more else None)


async def get_variable(connection: Connection, ws: int, name: str) -> VariableView | None:
    entries = await _entries(connection, ws)
    if name not in entries:
        return None
    [view] = await _views(connection, ws, {name: entries[name]})
    return view


async def history(
    reader: LogReader, ws: int, version: int, *, name: str | None = None, limit: int = 50
) -> list[Change]:
    """Return the last changes up to a version of all variables, the newest first; of one `name` among the last thousand."""
    found: list[tuple[Recorded, VariableEvent]] = []
    for recorded in await reader.read_stream(ws, STREAM, max(0, version - 1_000), 1_000):
        event = recorded.decode()
        if event is not None and (name is None or event.name == name):
            found.append((recorded, event))
    newest = found[: -limit - 1 : -1]
    digests = [event.value.digest for _, event in newest if isinstance(event, VariableSet)]
    values = await reader.blobs(ws, digests)
    return [_change(recorded, event, values) for recorded, event in newest]


async def version_of(connection: Connection, ws: int) -> int:
    """Return the version of a workspace's variables, 0 where there never were any."""
    rows = await fetch(connection, select(variables.c.version).where(variables.c.ws == ws))
    return int(rows[0]["version"]) if rows else 0


def _change(recorded: Recorded, event: VariableEvent, values: Mapping[bytes, bytes]) -> Change:
    told = event.name, recorded.version, recorded.recorded_at, recorded.actor
    if isinstance(event, VariableSet):
        content = values.get(event.value.digest)
        return Change(*told, "set", None if content is None else content.decode(), event.tags)
    if isinstance(event, VariableUnset):
        return Change(*told, "unset", None)
    return Change(*told, "refused", None, reason=event.reason)


async def _entries(connection: Connection, ws: int) -> dict[str, Variable]:
    rows = await fetch(connection, select(variables.c.entries).where(variables.c.ws == ws))
    return load_entries(rows[0]["entries"]) if rows else {}


async def _views(
    connection: Connection, ws: int, entries: dict[str, Variable]
) -> list[VariableView]:
    digests = [entry.value.digest for entry in entries.values()]
    statement = select(payload.c.digest, payload.c.bytes).where(
        payload.c.ws == ws, payload.c.digest.in_(digests)
    )
    rows = await fetch(connection, statement) if digests else []
    values = {bytes(row["digest"]): bytes(row["bytes"]) for row in rows}
    return [_view(name, entry, values.get(entry.value.digest)) for name, entry in entries.items()]


def _view(name: str, entry: Variable, content: bytes | None) -> VariableView:
    return VariableView(
        name=name,
        value=json.loads(content) if content is not None else None,
        erased=content is None,
        tags=entry.tags,
        version=entry.version,
        size_bytes=entry.size_bytes,
        set_at=entry.set_at,
    )
