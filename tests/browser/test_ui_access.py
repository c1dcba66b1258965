"""Who gets in, what is withheld, and how many statements a page costs. Over HTTP; no browser is needed for it."""

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.background.children import Children
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.pool import BinaryCursor
from support.browser import login_path
from support.output_facts import artifact, points
from support.ui_server import AllShards, UiServer, serve_ui
from support.ui_world import DRIFT, tell_nightly

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def closed(postgres_server) -> Iterator[UiServer]:
    """A pool that lets nothing out but ids, timings, counters and error classes."""
    permits = ("counter", "error_class", "id", "timing")
    with postgres_server.database() as scratch, serve_ui(scratch.url, permits=permits) as served:
        yield served


def client(server: UiServer, *, signed_in: bool = True) -> httpx.Client:
    made = httpx.Client(base_url=server.url, trust_env=False, timeout=20)
    if signed_in:
        made.cookies.set("headway_session", server.token)
    return made


def test_nobody_gets_in_without_a_key(server):
    with client(server, signed_in=False) as anyone:
        away = anyone.get("/runs?state=failed")
        assert (away.status_code, away.headers["location"]) == (
            303,
            "/login?next=/runs%3Fstate%3Dfailed",
        )
        assert anyone.get("/ui/live?scope=runs").status_code == 401
        assert anyone.post("/runs/x/cancel").status_code == 401
        refused = anyone.get("/login?token=headway_key_wrong")
        assert refused.status_code == 401
        assert "unknown, mistyped, expired or revoked" in refused.text


def test_the_address_that_up_prints_signs_in(server):
    with client(server, signed_in=False) as anyone:
        answer = anyone.get(login_path(server, "/agents"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/agents")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert anyone.get("/agents").status_code == 200


@pytest.mark.parametrize("path", ["/runs", "/login", "/runs/none", "/ui/0/app.js"])
def test_every_answer_is_guarded(server, path):
    with client(server) as user:
        answer = user.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    if "html" in answer.headers["content-type"]:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_forms_of_other_sites_change_nothing(server):
    with client(server) as user:
        evil = user.post("/runs/x/cancel", headers={"origin": "http://evil.example"})
        assert evil.status_code == 403
        forged = user.post("/runs/x/cancel", data={"form_token": "AAAA"})
        assert forged.status_code == 403
        assert "Reload the page" in forged.text


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/runs/nonsense", 404, "is no id of a run"),
        ("/runs/00000000-0000-7000-8000-000000000000", 404, "There is no run"),
        ("/deployments/none", 404, "There is no deployment"),
        ("/runs?after=broken", 400, "The cursor is none of this list"),
        ("/events?at=9:9", 410, "An older history"),
        ("/events?at=x:y", 400, "is no cursor"),
        ("/events?stream=cat/1", 200, "names no stream"),
        ("/runs?q=deployment:none", 200, "There is no deployment"),
        ("/runs?q=state:faled", 200, "faled is no state. Did you mean failed?"),
        ("/runs?q=state:failed&state=completed", 200, "No run of this tab is failed."),
        ("/runs?q=flo:nightly", 200, "flo: is no filter. Did you mean flow:?"),
        ("/runs?q=id:xyz", 200, "is no beginning of an id"),
    ],
)
def test_broken_addresses_say_what_is_wrong(server, path, status, words):
    with client(server) as user:
        answer = user.get(path)
    assert answer.status_code == status
    assert words in answer.text.replace("&#39;", "'")


def test_what_is_withheld_says_why_and_where_it_is(closed):
    world = closed.world

    async def fill():
        await world.enrol()
        await world.deploy("nightly-etl", retries=0)
        script = await world.start("nightly-etl")
        script.call("", 0, 1)
        script.end(2, "failed", ("RuntimeError", "secret"))
        script.blobs.clear()  # an agent of this pool sends no texts
        await script.send()
        return script

    script = closed.call(fill)
    closed.settle()
    with client(closed) as user:
        page = user.get(f"/runs/{script.run}").text.replace("&#34;", '"')
    assert "(name withheld)" in page
    assert 'the permits of pool "local" do not name log' in page
    assert 'the permits of pool "local" do not name error_text' in page
    assert "frames.log" in page


def test_a_run_under_way_says_too_that_its_log_is_withheld(closed):
    world = closed.world

    async def fill():
        await world.enrol("agent-2")
        await world.deploy("under-way", retries=0)
        script = await world.start("under-way")
        await script.suspend(1).send()
        return script

    script = closed.call(fill)
    closed.settle()
    with client(closed) as user:
        page = user.get(f"/runs/{script.run}").text.replace("&#34;", '"')
    assert 'the permits of pool "local" do not name log' in page
    assert "Nothing was printed" not in page


@pytest.fixture
def statements(monkeypatch):
    """What the server asks its database, without the settings of transactions."""
    asked: list[str] = []
    execute = BinaryCursor.execute

    async def counted(self, query, *arguments, **options):
        text = query if isinstance(query, str) else bytes(query).decode()
        if "set_config" not in text:
            asked.append(text)
        return await execute(self, query, *arguments, **options)

    monkeypatch.setattr(BinaryCursor, "execute", counted)
    return asked


def told_of_everything(server) -> dict[str, UUID]:
    """Runs with calls, artifacts, metrics and children: one that failed, one that waits for an answer, one that completed."""
    world = server.world
    found = {}

    async def fill():
        await world.enrol("agent-9")
        await world.deploy("counted", retries=0)
        await world.deploy("wide", retries=0)
        for name in ("failed", "waits", "completed"):
            script = await world.start("counted", name=name)
            tell_nightly(script, scale=0.01)
            script.ask_run(0.1, "counted", region="eu")
            for told in (artifact(description="text"), *(points(m, range(9)) for m in "abc")):
                script.add(0.5, getattr(facts, told.fact.type).FromString(told.fact.payload))
                script.blobs += told.blobs
            if name == "waits":
                script.suspend(1, asks={"title": "Publish?", "schema": {"type": "boolean"}})
            else:
                script.end(1, name, DRIFT if name == "failed" else None)
            await script.send()
            found[name] = script.run
        script = await world.start("wide")
        script.map("score", 3_000, 0.1).call("odd", 0.2, 0.3)
        await script.end(15, "failed", DRIFT).send()
        found["wide"] = script.run
        await Children(
            server.database, world.log, server.pages.catalogue, AllShards(), SystemClock()
        ).run_once()

    server.call(fill)
    server.settle()
    return found


def asked_for(user: httpx.Client, path: str, statements: list[str]) -> list[str]:
    """The statements that ran while a page was made."""
    statements.clear()
    assert user.get(path).status_code == 200
    return list(statements)


def test_pages_ask_little(server, statements):
    runs = told_of_everything(server)
    limits = {
        "/runs": 6, f"/runs/{runs['failed']}": 6, f"/runs/{runs['waits']}": 6, f"/runs/{runs['wide']}": 6,
        f"/runs/{runs['wide']}?from=0&to=0.5": 7, "/runs?q=state:failed&since=24h&subflows=1": 6,
        f"/runs/{runs['completed']}": 7, "/deployments": 4, "/deployments/counted": 6, "/agents": 4, "/events": 4,
    }  # fmt: skip
    with client(server) as user:
        user.get("/runs")
        for path, limit in limits.items():
            # Those of the projector and the followers may fall between: the least of three looks are the page's own.
            asked = [asked_for(user, path, statements) for _ in range(3)]
            assert min(map(len, asked)) <= limit, (path, asked)
    failed = html(server, runs["failed"])
    assert "counted: run " in failed
    assert failed.count('class="chart"') == 3
    assert "expected 14 columns" in failed
    assert "Publish?" in html(server, runs["waits"])


def html(server, run: UUID) -> str:
    with client(server) as user:
        return user.get(f"/runs/{run}").text
