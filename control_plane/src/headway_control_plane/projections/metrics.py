"""Numbers over time that runs recorded, thinned out to what a chart can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.projections.artifacts import SQL

MOST_SERIES = 200
MOST_POINTS = 2_000
_UNPACKED_BATCHES = 400  # more are read by their ranges alone


@dataclass(frozen=True, slots=True)
class Series:
    """A metric of a run. Of `recorded` points `kept` are there. Name, unit and numbers are absent where the pool withholds them."""

    id: bytes
    name: str
    unit: str
    batches: int
    recorded: int
    kept: int
    lowest: float | None
    highest: float | None
    newest: float | None
    stepped: bool

    @property
    def withheld(self) -> bool:
        return not self.name


class Point(NamedTuple):
    """One point; `at_us` in microseconds since 1970. `step` counts where its series is `stepped`."""

    value: float
    at_us: int
    step: int


async def list_series(connection: Connection, ws: int, run: UUID) -> list[Series]:
    """The metrics of a run by name."""
    done = await connection.execute(SQL["series"], {"ws": ws, "run": run, "limit": MOST_SERIES})
    return [Series(*row) for row in await done.fetchall()]


async def points(
    connection: Connection, ws: int, run: UUID, series: Series, most: int
) -> list[Point]:
    """At most `most` points in order: of more the smallest and the largest of equal parts."""
    groups = max(1, most // 2)
    values = {"ws": ws, "run": run, "series": series.id, "groups": groups}
    if series.batches <= max(groups, _UNPACKED_BATCHES):
        done = await connection.execute(SQL["points"], values)
        return [Point(*row) for row in await done.fetchall()]
    done = await connection.execute(SQL["points_by_batch"], values)
    found = []
    for lowest, highest, at_us, until_us, step, until_step in await done.fetchall():
        found += [Point(lowest, at_us, step), Point(highest, until_us, until_step)]
    return found
