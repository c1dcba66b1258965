"""Artifacts and metrics over REST: pages, filters, contents, what is withheld or erased."""

from uuid import UUID

import pytest

from headway_control_plane.db.roles import Role
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.task_timeline import TaskTimeline
from support.http_server import Api, enrol
from support.log_fixtures import started
from support.output_facts import artifact, points, progress, report, table

pytestmark = pytest.mark.postgres


@pytest.fixture
async def left(api: Api):
    """The id of a run that left all kinds of things, shown."""
    tenant = api.one
    await enrol(tenant)
    made = await tenant.deploy()
    tenant.fleet.deployment = UUID(made["id"])
    run = await tenant.fleet.granted_run()
    image = artifact("image", b"\x89PNG\r\n\x1a\nx", key="plot", media_type="image/png")
    await report(
        tenant.fleet, run, 1, started(), artifact(content=b"# One", description="first"), artifact(content=b"# Two"),
        table(["a"], [[1], [None]], key="rows"), image, progress(12.5, key="load"), artifact(key="", number=9),
        artifact(key="stays", withheld=True), points("loss", [3, 2, 1], steps=[0, 1, 2], unit="s"),
    )  # fmt: skip
    database = api.database
    engine = ProjectionEngine(database, Reader(database, role=Role.PROJECTOR), [TaskTimeline()])
    await engine.prepare()
    engine.mark(tenant.ws)
    await engine.catch_up()
    return run


async def get(api: Api, path: str, **query):
    answer = await api.one.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_newest_of_each_key_in_pages(api: Api, left):
    seen, cursor = [], None
    while True:
        page = await get(api, "/artifacts", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [(one["key"], one["version"]) for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [("load", 1), ("plot", 1), ("report", 2), ("rows", 1), ("stays", 1)]
    assert [o["key"] for o in (await get(api, "/artifacts", kind="table"))["items"]] == ["rows"]
    assert [o["key"] for o in (await get(api, "/artifacts", prefix="r"))["items"]] == [
        "report",
        "rows",
    ]


async def test_a_runs_artifacts_and_a_keys_versions(api: Api, left):
    page = await get(api, "/artifacts", run=str(left), limit=6)
    assert [one["key"] for one in page["items"]] == [
        "report", "report", "rows", "plot", "load", "",
    ]  # fmt: skip
    rest = await get(api, "/artifacts", run=str(left), cursor=page["next"])
    assert [(one["key"], one["withheld"]) for one in rest["items"]] == [("stays", True)]
    history = await get(api, "/artifacts/report/versions", limit=1)
    older = await get(api, "/artifacts/report/versions", cursor=history["next"])
    assert [history["items"][0]["version"], older["items"][0]["version"]] == [2, 1]
    assert older["items"][0]["description"] == "first"
    assert older["next"] is None


async def test_contents(api: Api, left):
    found = (await get(api, "/artifacts", run=str(left)))["items"]
    ids = {(one["key"], one["version"]): one["id"] for one in found}

    async def content(key, version=1):
        return await get(api, f"/runs/{left}/artifacts/{ids[key, version]}")

    assert (await content("report"))["content"] == "# One"
    assert (await content("rows"))["content"] == {"columns": ["a"], "rows": [[1], [None]]}
    assert (await content("load"))["percent"] == 12.5
    stays = await content("stays")
    assert (stays["content"], stays["withheld"], stays["erased"]) == (None, True, False)
    raw = await api.one.client.get(f"/runs/{left}/artifacts/{ids['plot', 1]}/content")
    assert raw.content == b"\x89PNG\r\n\x1a\nx"
    assert raw.headers["content-type"] == "image/png"
    assert raw.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert raw.headers["x-content-type-options"] == "nosniff"
    text = await api.one.client.get(f"/runs/{left}/artifacts/{ids['report', 1]}/content")
    assert text.headers["content-type"].startswith("text/plain")
    nothing = await api.one.client.get(f"/runs/{left}/artifacts/{ids['stays', 1]}/content")
    assert nothing.status_code == 404


async def test_metrics(api: Api, left):
    [series] = (await get(api, f"/runs/{left}/metrics"))["items"]
    assert (series["name"], series["unit"], series["newest"], series["stepped"]) == (
        "loss", "s", 1, True,
    )  # fmt: skip
    for name in ("loss", series["id"]):
        read = await get(api, f"/runs/{left}/metrics/{name}", points=2)
        assert [(value, step) for value, _, step in read["points"]] == [(3, 0), (1, 2)]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/artifacts", {"cursor": "!"}, 400),
        ("/artifacts", {"kind": "video"}, 422),
        ("/artifacts", {"prefix": "a\0"}, 422),
        ("/artifacts", {"run": str(UUID(int=1))}, 404),
        ("/artifacts/unknown/versions", {}, 404),
        ("/artifacts/report/versions", {"cursor": "WyJmIiwieCJd"}, 400),
        ("/runs/{run}/artifacts/zz", {}, 404),
        ("/runs/{run}/artifacts/00", {}, 404),
        ("/runs/{run}/metrics/unknown", {}, 404),
        ("/runs/{run}/metrics/loss", {"points": 1}, 422),
        ("/runs/{run}/metrics/loss", {"points": 100000}, 422),
    ],
)
async def test_what_is_not_there_or_makes_no_sense(api: Api, left, path, query, status):
    answer = await api.one.client.get(path.format(run=left), params=query)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("told", "content"),
    [
        (b"NaN", None),
        (b'{"columns": ["a"], "rows": [[1e999]]}', {"columns": ["a"], "rows": [[None]]}),
        (rb'{"columns": ["\ud800"], "rows": []}', {"columns": ["?"], "rows": []}),
        (b"[" * 500 + b"]" * 500, "[" * 500 + "]" * 500),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
async def test_json_of_any_kind_can_be_sent(api: Api, told, content):
    tenant = api.one
    await enrol(tenant)
    tenant.fleet.deployment = UUID((await tenant.deploy())["id"])
    run = await tenant.fleet.granted_run()
    sent = artifact("table", told, key="odd", media_type="application/json")
    await report(tenant.fleet, run, 1, started(), sent)
    engine = ProjectionEngine(
        api.database, Reader(api.database, role=Role.PROJECTOR), [TaskTimeline()]
    )
    await engine.prepare()
    engine.mark(tenant.ws)
    await engine.catch_up()
    [found] = (await get(api, "/artifacts", run=str(run)))["items"]
    assert (await get(api, f"/runs/{run}/artifacts/{found['id']}"))["content"] == content
