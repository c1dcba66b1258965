"""Lists of runs: filters, pages in both directions, and plans that walk an index whatever is asked."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from uuid import UUID

import pytest

from headway_control_plane.db.pool import Connection, Database, PoolOptions
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections import run_starts, runs
from headway_control_plane.projections.reading import Reads, compile_statement
from headway_control_plane.projections.run_filters import (
    RunFilter,
    Walk,
    candidates,
    id_at,
    prefix_range,
)
from support.http_server import Api
from support.many_runs import DEPLOYMENTS, fill_runs
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FILTERS = {
    "states": {"states": (RunStatus.FAILED, RunStatus.RUNNING)},
    "deployment": {"deployment": DEPLOYMENTS[3]},
    "flow": {"flow": "flow-3"},
    "tags": {"tags": ("tag-7",)},
    "text": {"text": "999"},
    "since": {"since": NOW - timedelta(hours=1)},
}


@asynccontextmanager
async def reading(database: ScratchDatabase) -> AsyncIterator[Connection]:
    async with (
        Database(database.url, [Role.APP], PoolOptions()) as db,
        Reads(db).workspace(1) as connection,
    ):
        yield connection


def combined() -> list[dict]:
    names = list(FILTERS)
    return [
        {key: value for name in chosen for key, value in FILTERS[name].items()}
        for size in range(len(names) + 1)
        for chosen in combinations(names, size)
    ]


async def test_no_filter_reads_the_table_from_its_beginning(database: ScratchDatabase) -> None:
    fill_runs(database, 20_000, now=NOW)
    async with reading(database) as connection:
        for chosen in combined():
            wanted = RunFilter(**chosen)
            for back, by_tag in product((False, True), wanted.ways):
                walk = Walk(id_at(NOW - timedelta(minutes=30)), back, 51)
                text, values = compile_statement(candidates(1, wanted, walk, by_tag=by_tag))
                cursor = await connection.execute(b"EXPLAIN (COSTS OFF) " + text, values)
                plan = "\n".join(row[0] for row in await cursor.fetchall())
                assert "Seq Scan" not in plan, (chosen, plan)
                assert "Index" in plan


@pytest.mark.parametrize("window", [20, 2_000])
async def test_every_filter_finds_exactly_what_a_plain_query_finds(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(runs, "WINDOW", window)
    monkeypatch.setattr(runs, "MOST_WINDOWS", 1_000)
    fill_runs(database, 3_000, now=NOW)
    async with reading(database) as connection:
        for chosen in combined():
            wanted = RunFilter(**chosen)
            expected = _plainly(database, wanted)
            found, cursor, pages = [], None, 0
            while True:
                page = await runs.list_runs(connection, 1, wanted, now=NOW, cursor=cursor, limit=40)
                found += [view.id for view in page.items]
                cursor, pages = page.next, pages + 1
                if cursor is None or pages == 12:
                    break
            assert found == expected[: len(found)], chosen
            assert len(found) == min(len(expected), 12 * 40), chosen


async def test_pages_lead_back_the_way_they_came(database: ScratchDatabase) -> None:
    fill_runs(database, 500, now=NOW)
    async with reading(database) as connection:

        async def page(cursor: str | None) -> runs.Page:
            return await runs.list_runs(
                connection, 1, RunFilter(), now=NOW, cursor=cursor, limit=20
            )

        first = await page(None)
        second = await page(first.next)
        third = await page(second.next)
        back = await page(third.previous)
        home = await page(back.previous)

    assert first.previous is None
    assert back.items == second.items
    assert home.items == first.items
    assert home.previous is None
    assert home.next is not None


async def test_counts_stop_at_their_cap(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "COUNT_CAP", 100)
    fill_runs(database, 1_000, now=NOW)
    async with reading(database) as connection:
        counted = await runs.count_by_state(connection, 1, RunFilter())
        of_tag = await runs.count_by_state(connection, 1, RunFilter(tags=("tag-7",)))
    assert counted.counts[RunStatus.COMPLETED] == 100
    assert counted.capped == {RunStatus.COMPLETED}
    assert counted.counts[RunStatus.CANCELLED] == 0
    assert sum(of_tag.counts.values()) == 10


async def test_starts_are_counted_as_a_plain_query_counts_them(database: ScratchDatabase) -> None:
    fill_runs(database, 3_000, now=NOW)
    edges = [
        NOW - timedelta(seconds=3 - n * 0.5) for n in range(6)
    ]  # those of the last 500 ms are behind the last one
    async with reading(database) as connection:
        for chosen in combined():
            wanted = RunFilter(**chosen)
            shown = await run_starts.count_starts(connection, 1, wanted, edges, subflows=True)
            for begin, end, bucket in zip(edges, edges[1:], shown, strict=False):
                within = replace(wanted, since=max(wanted.since or begin, begin), until=end)
                page = await runs.list_runs(connection, 1, within, now=NOW, limit=1_000)
                assert bucket == Counter(view.state for view in page.items), (chosen, begin)


async def test_starts_walk_indexes_and_begin_where_all_were_counted(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_runs(database, 20_000, now=NOW)
    for module in (runs, run_starts):
        monkeypatch.setattr(module, "COUNT_CAP", 100)
    async with reading(database) as connection:
        counted = await runs.count_by_state(connection, 1, RunFilter())
        first = run_starts.first_counted(counted, ())
        failed = run_starts.first_counted(counted, {RunStatus.FAILED})
        assert first is not None
        assert failed is not None
        assert timedelta(milliseconds=100) <= NOW - first <= timedelta(milliseconds=110)
        assert failed < first
        shown = await run_starts.count_starts(connection, 1, RunFilter(), [first, NOW + timedelta(seconds=1)])  # fmt: skip
        assert shown[0][RunStatus.COMPLETED] >= 100
        for chosen in combined():
            statement = run_starts.starts(1, RunFilter(**chosen), [first, NOW], subflows=True)
            text, values = compile_statement(statement)
            cursor = await connection.execute(b"EXPLAIN (COSTS OFF) " + text, values)
            plan = "\n".join(row[0] for row in await cursor.fetchall())
            assert "Seq Scan on run" not in plan, (chosen, plan)


async def test_a_search_that_finds_little_goes_on_where_it_stopped(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "WINDOW", 50)
    monkeypatch.setattr(runs, "MOST_WINDOWS", 2)
    fill_runs(database, 1_000, now=NOW)
    async with reading(database) as connection:
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor:
            page = await runs.list_runs(
                connection, 1, RunFilter(text="run 7 "), now=NOW, cursor=cursor
            )
            found += page.items
            cursor, pages = page.next, pages + 1
    assert [view.name for view in found] == ["run 7 of many"]
    assert pages > 5


async def test_the_list_over_http_takes_all_filters_together(api: Api) -> None:
    await api.one.deploy()
    run = await api.one.create_run(tags=["a", "b"], name="needle")
    await api.one.create_run(tags=["a"])
    found = await api.one.client.get(
        "/runs",
        params={
            "state": ["scheduled", "running"],
            "deployment": "nightly",
            "flow": "nightly-etl",
            "tag": ["a", "b"],
            "q": "NEEDLE",
            "since": "2026-01-01T00:00:00Z",
            "prefix": run["id"][:20],
        },
    )
    assert [item["id"] for item in found.json()["items"]] == [run["id"]]
    counts = (await api.one.client.get("/runs/counts")).json()
    assert counts["states"]["scheduled"] == 2


async def test_the_filter_language_is_read_by_the_control_plane(api: Api) -> None:
    await api.one.deploy()
    run = await api.one.create_run(tags=["a", "b"], name="needle")
    await api.one.create_run(tags=["a"])
    get = api.one.client.get
    text = "deployment:nightly flow:nightly-etl tag:a tag:b state:scheduled needle since:1h"
    found = (await get("/runs", params={"filter": text})).json()
    assert [item["id"] for item in found["items"]] == [run["id"]]
    counts = (await get("/runs/counts", params={"filter": "tag:a", "action": "cancel"})).json()
    assert (counts["states"]["scheduled"], counts["filter"]) == (2, "tag:a")
    assert "completed" not in counts["states"]
    for params, told in [
        ({"filter": "stat:failed"}, "Did you mean state:?"),
        ({"filter": "tag:a", "tag": "b"}, "says tags again"),
        ({"filter": "deployment:x", "deployment": "y"}, "says deployment again"),
        ({"filter": "since:1h", "until": "2020-01-01T00:00:00Z"}, "must be later"),
        ({"filter": "state:completed", "action": "cancel"}, "state: takes scheduled"),
    ]:
        refused = await get("/runs", params=params)
        assert refused.status_code == 422
        assert told in str(refused.json()["errors"]), params
    assert (await get("/runs", params={"filter": "deployment:none"})).status_code == 404


def test_ids_bound_times_and_prefixes() -> None:
    assert id_at(NOW) <= UUID(int=int(NOW.timestamp() * 1000) << 80)
    first, last = prefix_range("0199-")
    assert (first.hex[:4], last.hex[:4], last.hex[4:]) == ("0199", "0199", "f" * 28)
    with pytest.raises(ValueError, match="x"):
        prefix_range("x")


def _plainly(database: ScratchDatabase, wanted: RunFilter) -> list[UUID]:
    conditions, values = ["ws = 1"], {}
    for name, sql in {
        "states": "status = ANY (%(states)s)",
        "deployment": "deployment = %(deployment)s",
        "flow": "flow = %(flow)s",
        "tags": "tags @> %(tags)s",
        "text": "(name ILIKE %(text)s OR flow ILIKE %(text)s)",
        "since": "created_at >= %(since)s",
    }.items():
        value = getattr(wanted, name)
        if value:
            conditions.append(sql)
            values[name] = list(map(str, value)) if isinstance(value, tuple) else value
    if "text" in values:
        values["text"] = f"%{values['text']}%"
    with database.connect() as connection:
        rows = connection.execute(
            f"SELECT run FROM run WHERE {' AND '.join(conditions)} ORDER BY run DESC", values
        )
        return [row[0] for row in rows]
