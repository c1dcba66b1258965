"""Comparing two versions of a read model, row by row, inside the database."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries

SQL = load_queries("headway_control_plane.projections", "compare.sql")

SHOWN_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of the live version that the log does not bear out (or the other way round), or sums that are not their rows'."""

    run: UUID
    fence: int
    what: str
    call: bytes = b""
    first_offset: int = 0

    def __str__(self) -> str:
        if not self.call:
            return f"run {self.run} attempt {self.fence}: {self.what}"
        return f"run {self.run} attempt {self.fence} call {self.call.hex()} (offset {self.first_offset}): {self.what}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared and what differs; the list of differences is cut after the first ones."""

    rows: int
    fingerprint: str
    differences: tuple[Difference, ...]


async def compare(
    connection: Connection, ws: int, live: int, shadow: int, *, proved_from: int
) -> Comparison:
    """Compare the live version with one just folded from the log; leave out what began before `proved_from`."""
    rows, expected = await _fingerprint(connection, ws, shadow, proved_from)
    _, found = await _fingerprint(connection, ws, live, proved_from)
    differences: list[Difference] = []
    if found != expected:
        differences = await _differing(connection, "differing_calls", ws, live, shadow, proved_from)
    differences += await _differing(connection, "differing_subflows", ws, live, shadow, proved_from)
    outputs, outputs_expected = await _fingerprint(
        connection, ws, shadow, proved_from, "output_fingerprint"
    )
    _, outputs_found = await _fingerprint(connection, ws, live, proved_from, "output_fingerprint")
    if outputs_found != outputs_expected:
        differences += await _differing(
            connection, "differing_outputs", ws, live, shadow, proved_from
        )
    answer = await connection.execute(
        SQL["differing_counts"], {"ws": ws, "version": live, "limit": SHOWN_DIFFERENCES}
    )
    differences += [
        Difference(run, fence, "its sums are not those of its rows")
        for run, fence in await answer.fetchall()
    ]
    return Comparison(rows + outputs, expected, tuple(differences))


async def _fingerprint(
    connection: Connection, ws: int, version: int, proved_from: int, query: str = "fingerprint"
) -> tuple[int, str]:
    answer = await connection.execute(
        SQL[query], {"ws": ws, "version": version, "proved_from": proved_from}
    )
    row = await answer.fetchone()
    assert row is not None, "an aggregate always answers"
    return row[0], row[1]


async def _differing(
    connection: Connection, query: str, ws: int, live: int, shadow: int, proved_from: int
) -> list[Difference]:
    words = {
        "missing": "shown, but the log does not tell of it",
        "unexpected": "not shown, but the log tells of it",
        "different": "not shown as the log tells it",
    }
    answer = await connection.execute(
        SQL[query],
        {
            "ws": ws,
            "left": live,
            "right": shadow,
            "proved_from": proved_from,
            "limit": SHOWN_DIFFERENCES,
        },
    )
    return [
        Difference(run, fence, words[what], call, offset)
        for run, fence, call, offset, what in await answer.fetchall()
    ]
