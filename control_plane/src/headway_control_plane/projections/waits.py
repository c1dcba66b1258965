"""What suspended runs wait for, with what people are asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from headway_control_plane.application.answer_run import OpenWait, read_request
from headway_control_plane.application.ports import LogReader
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.run_json import load_waits
from headway_control_plane.db.tables import run
from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.projections.answered import answered
from headway_control_plane.projections.reading import Reads, fetch

MOST_REACHED = 10_000  # runs, by one event
_SQL = load_queries("headway_control_plane.projections", "waits.sql")


class RunWaits:
    """Reads the inline row, so it is never behind the log, and the questions beside it."""

    def __init__(self, reads: Reads, reader: LogReader) -> None:
        self._reads = reads
        self._reader = reader

    async def waits(self, ws: int, run_id: UUID) -> Sequence[OpenWait] | None:
        statement = select(run.c.waits, answered()).where(run.c.ws == ws, run.c.run == run_id)
        async with self._reads.workspace(ws, by_key=True) as connection:
            rows = await fetch(connection, statement)
        if not rows:
            return None
        calls = map(bytes, rows[0]["answered"])
        return await open_waits(self._reader, ws, load_waits(rows[0]["waits"]), calls)

    async def waiting(self, ws: int, topic: bytes) -> Sequence[tuple[UUID, bytes]]:
        """The open waits of a topic."""
        key = {"ws": ws, "topic": topic.hex().encode(), "limit": MOST_REACHED}
        async with self._reads.workspace(ws) as connection:
            rows = await (await connection.execute(_SQL["waiting"], key)).fetchall()
        found = []
        for run_id, waits, answers in rows:
            calls = set(map(bytes, answers))
            found += [
                (run_id, wait.call)
                for wait in load_waits(waits)
                if wait.kind == "event" and wait.topic == topic and wait.call not in calls
            ]
        return found


async def open_waits(
    reader: LogReader, ws: int, waits: Sequence[Waiting], answered: Iterable[bytes]
) -> list[OpenWait]:
    """Waits with their questions, in the order in which the flow came to them."""
    if not waits:
        return []
    requests = await reader.blobs(ws, [wait.request for wait in waits if wait.request])
    return view_waits(waits, answered, requests)


def view_waits(
    waits: Sequence[Waiting], answered: Iterable[bytes], contents: Mapping[bytes, bytes]
) -> list[OpenWait]:
    """The same of waits whose questions were read already, as far as they are there."""
    known = set(answered)
    shown = []
    for wait in waits:
        asked = read_request(contents.get(wait.request))
        shown.append(
            OpenWait(
                wait.call,
                wait.kind,
                wait.name,
                wait.until,
                asked.title,
                asked.schema,
                wait.call in known,
                wait.run,
                asked.problems,
            )
        )
    return shown
