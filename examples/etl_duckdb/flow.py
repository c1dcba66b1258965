"""Time zones of the world, from the files of the `tzdata` package into a DuckDB file."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TypedDict
from zoneinfo import ZoneInfo

import duckdb

from headway import exponential, flow, get_run_logger, task, unmapped

_PLACE = re.compile(r"([+-])(\d{4}|\d{6})([+-])(\d{5}|\d{7})")


class Zone(TypedDict):
    """A line of zone.tab."""

    country: str
    name: str
    latitude: float
    longitude: float


class ZoneOfDay(Zone):
    """A zone with the hours that it is ahead of UTC at noon (UTC) of a day, and those of its summer time."""

    offset_h: float
    summer_h: float


class Summary(TypedDict):
    database: str
    countries: int
    zones: int
    most_zones: dict[str, int]


@task
def extract_countries() -> dict[str, str]:
    """Country code to name."""
    return {line[0]: line[1] for line in _lines("iso3166.tab")}


@task
def extract_zones() -> list[Zone]:
    return [_zone(fields) for fields in _lines("zone.tab")]


@task(task_run_name="offsets in {area}")
def transform(area: str, zones: list[Zone], day: date) -> list[ZoneOfDay]:
    """Adds the offsets of `day` to the zones of one area ("Africa", "America", ...)."""
    noon = datetime.combine(day, time(12), UTC)
    return [_on(zone, noon) for zone in zones if _area(zone) == area]


@task
def check(countries: dict[str, str], zones: list[ZoneOfDay]) -> None:
    """Raises ValueError for data that must not be loaded."""
    unknown = sorted({zone["country"] for zone in zones} - countries.keys())
    if unknown:
        raise ValueError(f"zones of countries that iso3166.tab does not have: {', '.join(unknown)}")
    far = [zone["name"] for zone in zones if not -12 <= zone["offset_h"] <= 14]
    if far:
        raise ValueError(f"impossible offsets from UTC: {', '.join(far)}")


# DuckDB lets one process write: while another has the file open, opening it raises IOException.
@task(retries=5, retry_delay=exponential(1), retry_on=duckdb.IOException)
def load(database: Path, countries: dict[str, str], zones: list[ZoneOfDay]) -> int:
    """Replaces both tables in one transaction, so that doing it twice is doing it once."""
    with duckdb.connect(database) as connection:
        connection.begin()
        connection.execute(
            "CREATE OR REPLACE TABLE country (code VARCHAR PRIMARY KEY, name VARCHAR NOT NULL)"
        )
        connection.executemany("INSERT INTO country VALUES (?, ?)", list(countries.items()))
        connection.execute(
            "CREATE OR REPLACE TABLE zone (country VARCHAR NOT NULL, name VARCHAR PRIMARY KEY,"
            " latitude DOUBLE, longitude DOUBLE, offset_h DOUBLE, summer_h DOUBLE)"
        )
        rows = [tuple(zone.values()) for zone in zones]
        connection.executemany("INSERT INTO zone VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    return len(rows)


@task
def most_zones(database: Path, limit: int) -> dict[str, int]:
    with duckdb.connect(database, read_only=True) as connection:
        rows = connection.execute(
            "SELECT country.name, count(*) FROM zone JOIN country ON code = country"
            " GROUP BY country.name ORDER BY count(*) DESC, country.name LIMIT ?",
            [limit],
        ).fetchall()
    return dict(rows)


@flow
def load_zones(day: date, database: Path) -> Summary:
    """Loads the time zones, as they are on `day`, into the DuckDB file `database`."""
    if not database.parent.is_dir():
        raise ValueError(f"{database.parent} is no directory: make it, or name another database")
    countries, zones = extract_countries(), extract_zones()
    areas = sorted({_area(zone) for zone in zones})
    by_area = transform.map(areas, unmapped(zones), unmapped(day)).result()
    complete = [zone for part in by_area for zone in part]
    check(countries, complete)
    loaded = load(database, countries, complete)
    get_run_logger().info("%d zones of %d areas are in %s", loaded, len(areas), database)
    return Summary(
        database=str(database),
        countries=len(countries),
        zones=loaded,
        most_zones=most_zones(database, 3),
    )


def _lines(name: str) -> list[list[str]]:
    text = (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


def _zone(fields: list[str]) -> Zone:
    country, place, name = fields[:3]
    latitude, longitude = coordinates(place)
    return Zone(country=country, name=name, latitude=latitude, longitude=longitude)


def coordinates(place: str) -> tuple[float, float]:
    """Degrees north and east of an ISO 6709 place: +-DDMM+-DDDMM, or with seconds +-DDMMSS+-DDDMMSS."""
    found = _PLACE.fullmatch(place)
    if found is None:
        raise ValueError(f"{place!r} is no place like +5231+01322")
    north, latitude, east, longitude = found.groups()
    return _degrees(north, latitude, 2), _degrees(east, longitude, 3)


def _degrees(sign: str, digits: str, whole: int) -> float:
    degrees, minutes, seconds = digits[:whole], digits[whole : whole + 2], digits[whole + 2 :] or 0
    value = int(degrees) + int(minutes) / 60 + int(seconds) / 3600
    return round(-value if sign == "-" else value, 4)


def _area(zone: Zone) -> str:
    return zone["name"].split("/")[0]


def _on(zone: Zone, instant: datetime) -> ZoneOfDay:
    local = instant.astimezone(ZoneInfo(zone["name"]))
    return ZoneOfDay(**zone, offset_h=_hours(local.utcoffset()), summer_h=_hours(local.dst()))


def _hours(delta: timedelta | None) -> float:
    return 0.0 if delta is None else delta / timedelta(hours=1)
