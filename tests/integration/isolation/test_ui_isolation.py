"""Two workspaces and one UI. Whatever page exists: for the other's things it answers as for things that are nowhere.

Routes come from the UI itself, so a new one fails here until it is said how it could touch another workspace.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from starlette.routing import Route

from headway_control_plane.ui import live
from headway_control_plane.ui.routes import routes
from support.eventually import eventually
from support.http_server import SseFrame
from support.two_workspaces import BAIT, Neighbour, found_neighbour
from support.ui_server import UiServer, serve_ui

pytestmark = pytest.mark.postgres

# Routes that name something, by what it is.
NAMING = {
    ("GET", "/runs/{id}"): "run",
    ("GET", "/runs/{id}/flows/{call}"): "run",
    ("GET", "/ui/runs/{id}/flows/{call}/log"): "run",
    ("POST", "/runs/{id}/cancel"): "run",
    ("POST", "/runs/{id}/release"): "run",
    ("POST", "/runs/{id}/input"): "run",
    ("GET", "/runs/{id}/plan"): "run",
    ("POST", "/runs/{id}/fork"): "run",
    ("POST", "/runs/{id}/again"): "run",
    ("GET", "/ui/runs/{id}/log"): "run",
    ("GET", "/deployments/{name}"): "deployment",
    ("POST", "/deployments/{name}/run"): "deployment",
}
# Routes that answer of the caller's workspace, with the questions by which they could be led to another's.
# RUN, DEPLOYMENT, ... stand for ids and names of the other workspace.
ASKED = {
    ("GET", "/runs"): [
        "",
        f"q={BAIT}",
        "q=id:RUN",
        "q=deployment:DEPLOYMENT",
        "q=flow:FLOW",
        "q=tag:TAG",
        "q=RUN_NAME",
        "state=failed",
        "after=CURSOR",
        "subflows=1",
        "subflows=1&q=FLOW",
    ],
    ("POST", "/runs/bulk"): [],  # asked with a form: see below
    ("GET", "/runs/bulk"): ["action=cancel&run=RUN", "action=resume&run=RUN"],
    ("GET", "/deployments"): ["", "after=CURSOR"],
    ("GET", "/agents"): ["", "pool=POOL"],
    ("GET", "/events"): [
        "",
        "stream=run/RUN",
        "stream=attempt/RUN/1",
        "stream=deployment/DEPLOYMENT_ID",
        "stream=pool/POOL",
        "stream=agent/AGENT",
        "stream=session/SESSION",
        "at=LOG_CURSOR",
        "before=LOG_CURSOR",
    ],
    ("GET", "/search"): [
        "",
        f"q={BAIT}",
        "q=RUN",
        "q=RUN&fragment=1",
        "q=DEPLOYMENT",
        "q=FLOW",
        "q=AGENT_NAME",
        "q=POOL_NAME",
    ],
    ("GET", "/ui/live"): ["scope=runs"],  # a stream: see below
}
# Routes that know no workspace.
NOBODYS = {
    ("GET", "/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/ui/{version}/{name}"),
}
_FORM_TOKEN = re.compile(r"[A-Za-z0-9_-]{86}==")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def server(postgres_server) -> Iterator[UiServer]:
    with postgres_server.database() as scratch, serve_ui(scratch.url) as served:
        yield served


@pytest.fixture(scope="module")
def other(server: UiServer) -> Neighbour:
    """The other workspace; our own has a deployment and a run too, so that lists are not empty."""
    world = server.world

    async def fill() -> Neighbour:
        await world.enrol("our-agent")
        await world.deploy("ours")
        await world.create("ours")
        return await found_neighbour(server)

    made = server.call(fill)
    server.settle()
    return made


@pytest.fixture
def us(server: UiServer) -> Iterator[httpx.Client]:
    with browser(server, server.token) as client:
        yield client


def browser(server: UiServer, token: str = "", **headers: str) -> httpx.Client:
    made = httpx.Client(base_url=server.url, trust_env=False, timeout=20, headers=headers)
    if token:
        made.cookies.set("headway_session", token)
    return made


def ui_routes(server: UiServer) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in routes(server.pages)
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def target(path: str, name: str) -> str:
    return re.sub(r"\{\w+\}", name, path)


def form_token(client: httpx.Client) -> str:
    """A token that this session's own pages bring."""
    found = _FORM_TOKEN.search(client.get("/deployments/ours").text)
    assert found is not None
    return found[0]


def plain(answer: httpx.Response, *asked: str) -> str:
    """What an answer says, without what is random in every one and what the question held."""
    text = f"{answer.status_code} {answer.headers.get('location', '')}\n{answer.text}"
    for known in asked:
        text = text.replace(known, "WHAT WAS ASKED")
    return _FORM_TOKEN.sub("TOKEN", text)


def send(client: httpx.Client, method: str, path: str, token: str) -> httpx.Response:
    if method == "GET":
        return client.get(path)
    return client.post(path, data={"form_token": token, "field-region": "eu", "key": str(uuid4())})


def test_every_page_is_known_to_these_tests(server):
    known = NAMING.keys() | ASKED.keys() | NOBODYS
    for method, path in ui_routes(server):
        assert (method, path) in known, (
            f"{method} {path}: say here how it could touch another workspace"
        )
    assert known == set(ui_routes(server)), "a route is gone"


def test_what_is_the_others_looks_like_what_is_nowhere(server, other, us):
    """By GET and by POST with a good form: 404, and the very answer that a made-up id gets."""
    head = other_head(server, other)
    token = form_token(us)
    for (method, path), kind in NAMING.items():
        theirs, nowhere = (
            (str(other.run), str(uuid4()))
            if kind == "run"
            else (other.deployment_name, f"{BAIT}-deployment-{uuid4().hex[:16]}")
        )
        got = send(us, method, target(path, theirs), token)
        control = send(us, method, target(path, nowhere), token)
        assert got.status_code == 404, (method, path, got.text)
        assert other.found_in(got.content, theirs) == [], (method, path)
        assert plain(got, theirs) == plain(control, nowhere), (method, path)
    assert other_head(server, other) == head


def test_ids_of_the_other_in_place_of_names_are_not_there_either(other, us):
    assert us.get(f"/deployments/{other.deployment}").status_code == 404
    assert us.get(f"/runs/{other.deployment}").status_code == 404


def test_lists_and_searches_hold_our_own_alone(server, other, us):
    cursors = their_cursors(server, other)
    words = {
        "LOG_CURSOR": cursors["log"],
        "CURSOR": cursors["runs"],
        "RUN_NAME": other.word("run"),
        "RUN": str(other.run),
        "DEPLOYMENT_ID": str(other.deployment),
        "DEPLOYMENT": other.deployment_name,
        "FLOW": other.word("flow"),
        "TAG": other.word("tag"),
        "POOL_NAME": f"{BAIT}-pool-{other.secret}",
        "POOL": str(other.world.pool),
        "AGENT_NAME": other.word("agent"),
        "AGENT": str(other.world.agent),
        "SESSION": str(other.world.session),
    }
    asked = 0
    for (_, path), questions in ASKED.items():
        for question in questions if path != "/ui/live" else ():
            filled = re.sub("|".join(words), lambda m: words[m[0]], question)
            answer = us.get(f"{path}?{filled}")
            assert answer.status_code in {200, 400, 410}, (path, filled, answer.status_code)
            assert other.found_in(answer.content, *words.values()) == [], (path, filled)
            if path == "/search" and filled.startswith("q=") and filled != f"q={BAIT}":
                assert f'href="/runs/{other.run}"' not in answer.text
            asked += 1
    assert asked > 20


def test_a_form_for_many_runs_does_nothing_to_those_of_another(server, other, us):
    head = other_head(server, other)
    form = {"form_token": form_token(us), "action": "cancel", "run": str(other.run)}
    answer = us.post("/runs/bulk", data=form)
    assert answer.status_code == 200
    assert other.found_in(answer.content, str(other.run)) == []
    assert other_head(server, other) == head


def test_an_open_list_keeps_no_run_of_another(other, us):
    """Pages name the runs that they show, to have them changed in place; a page could name anything."""
    kept = us.get("/runs", headers={"headway-keep": f"{other.run},{uuid4()}"})
    assert kept.status_code == 200
    assert other.found_in(kept.content) == []


def test_the_same_questions_do_find_things_for_their_owner(server, other):
    """Else all of the above would say nothing."""
    with browser(server, other.token) as them:
        for path in (
            f"/runs/{other.run}",
            f"/ui/runs/{other.run}/log",
            f"/deployments/{other.deployment_name}",
            f"/runs?q={BAIT}",
            "/runs?state=running",
            f"/search?q={BAIT}",
            "/deployments",
            "/agents",
            f"/events?stream=run/{other.run}",
        ):
            answer = them.get(path)
            assert answer.status_code == 200, path
            # Every page of theirs names their workspace; what is looked for must be on it besides.
            assert other.found_in(answer.content, other.word("workspace")), path
        keep = {"headway-keep": str(other.run)}
        assert str(other.run) in them.get("/runs?state=waiting", headers=keep).text


def test_without_a_session_every_page_leads_to_the_login(server, other):
    with browser(server) as anyone, browser(server, "headway_key_" + "x" * 71) as forger:
        for method, path in ui_routes(server):
            if (method, path) in NOBODYS:
                continue
            kind = NAMING.get((method, path))
            name = other.deployment_name if kind == "deployment" else str(other.run)
            for client in (anyone, forger):
                answer = send(client, method, target(path, name), "")
                assert other.found_in(answer.content, name) == []
                if answer.status_code == 303:
                    assert answer.headers["location"].startswith("/login?next=")
                else:
                    assert answer.status_code == 401, (method, path)


# Streams ------------------------------------------------------------------------------------------------------


class Listener(threading.Thread):
    """A page's stream, read as it comes."""

    def __init__(self, server: UiServer, token: str, scope: str) -> None:
        super().__init__(name=f"live {scope}", daemon=True)
        self.frames: list[SseFrame] = []
        self._client = browser(server, token)
        self._scope = scope
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        frame = SseFrame()
        with self._client.stream("GET", f"/ui/live?scope={self._scope}") as response:
            for line in response.iter_lines():
                if self._over.is_set():
                    return
                name, _, value = line.partition(": ")
                if name in {"id", "event", "data"}:
                    setattr(frame, name, value)
                elif not line:
                    self.frames.append(frame)
                    frame = SseFrame()

    def heard(self, event: str) -> list[SseFrame]:
        return [frame for frame in self.frames if frame.event == event]

    def wait_for(self, event: str, more: int = 1) -> None:
        count = len(self.heard(event)) + more
        eventually(lambda: len(self.heard(event)) >= count, what=f"{event} on {self._scope}")

    def end(self) -> None:
        """The next beat is the last."""
        self._over.set()
        self.join(20)
        self._client.close()
        assert not self.is_alive()


def test_live_streams_tell_nothing_of_another_workspace(server, other, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(live, "LINES_SECONDS", 0.1)
    scope = f"run/{other.run}%26fence=1".replace("%26", "&")
    theirs = Listener(server, other.token, scope)
    ours = [Listener(server, server.token, each) for each in (scope, "runs", "agents", "events")]
    try:
        for each in (theirs, *ours):
            eventually(lambda each=each: each.heard("hello"), what="a stream")
            each.wait_for("beat")

        async def go_on() -> None:
            other.script.call(other.word("task"), 2, 3, number=2)
            other.script.say(2, other.word("later-line"))
            await other.script.send()

        server.call(go_on)
        eventually(lambda: theirs.heard("lines") and theirs.heard("changed"), what="their news")
        for each in ours:
            each.wait_for("beat", 2)  # whatever was to be said has been said
            assert {frame.event for frame in each.frames} == {"hello", "beat"}, each.frames
        server.call(lambda: server.world.create("ours"))
        for each in ours:
            if each is not ours[0]:
                eventually(lambda each=each: each.heard("changed"), what="our own news")
            said = "".join(frame.id + frame.data for frame in each.frames)
            assert other.found_in(said.encode()) == []
    finally:
        for each in (theirs, *ours):
            each.end()


# Forms and names ----------------------------------------------------------------------------------------------


def test_no_form_is_obeyed_that_our_own_pages_did_not_send(server, other, us):
    """Without a token, with another session's, with a good one from another site: refused, and nothing has happened."""
    with browser(server, other.token) as them:
        found = _FORM_TOKEN.search(them.get(f"/deployments/{other.deployment_name}").text)
        assert found is not None
        good, foreign = form_token(us), found[0]
        run = server.call(lambda: server.world.create("ours"))
        head = our_head(server)
        attacks = {
            "no token": ({}, {}),
            "an empty token": ({"form_token": ""}, {}),
            "another session's token": ({"form_token": foreign}, {}),
            "a token that is none": ({"form_token": "é" * 43}, {}),
            "another site": ({"form_token": good}, {"origin": "https://evil.example"}),
            "another port": ({"form_token": good}, {"origin": "http://127.0.0.1:1"}),
            "an opaque origin": ({"form_token": good}, {"origin": "null"}),
        }
        tried = 0
        for (method, path), kind in NAMING.items():
            if method != "POST":
                continue
            name = str(run) if kind == "run" else "ours"
            for what, (fields, headers) in attacks.items():
                answer = us.post(target(path, name), data=fields, headers=headers)
                assert answer.status_code == 403, (path, what, answer.text)
                tried += 1
        assert tried >= 28
        assert our_head(server) == head
        done = us.post(
            f"/runs/{run}/cancel", data={"form_token": good}, headers={"origin": server.url}
        )
        assert done.status_code == 303
        assert our_head(server) != head


def test_nobody_is_signed_in_by_a_page_of_another_site(server, other):
    with browser(server) as victim:
        posted = victim.post(
            "/login", data={"token": other.token}, headers={"origin": "https://evil.example"}
        )
        assert posted.status_code == 403
        assert "set-cookie" not in posted.headers
        link = f"/login?token={other.token}&next=/runs"
        followed = victim.get(link, headers={"sec-fetch-site": "cross-site"})
        assert "set-cookie" not in followed.headers
        assert victim.get(link, headers={"sec-fetch-site": "none"}).headers["set-cookie"]


def test_a_cookie_is_obeyed_by_the_api_for_our_own_pages_alone(server, other, us):
    run = server.call(lambda: server.world.create("ours"))
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": "null"}):
        answer = us.post(f"/api/v1/runs/{run}/cancel", json={}, headers=headers)
        assert answer.status_code == 403, headers
    own = {"origin": server.url}
    assert us.get(f"/api/v1/runs/{other.run}").status_code == 404
    assert us.post(f"/api/v1/runs/{other.run}/cancel", json={}, headers=own).status_code == 404
    assert us.post(f"/api/v1/runs/{run}/cancel", json={}, headers=own).status_code in {200, 202}


def test_under_a_name_of_another_site_nothing_is_served(server, other, us):
    """A page of any site can point a name of its own at us; the browser then holds us for that site."""
    with browser(server, other.token) as them:
        for method, path in ui_routes(server):
            kind = NAMING.get((method, path))
            name = other.deployment_name if kind == "deployment" else str(other.run)
            for host in (
                "evil.example",
                "evil.example:80",
                "127.0.0.1.evil.example",
                "localhost@evil",
            ):
                answer = them.request(
                    method, target(path, name), headers={"host": host, "origin": f"http://{host}"}
                )
                assert answer.status_code == 421, (method, path, host)
                assert other.found_in(answer.content, name) == []
    port = server.url.rpartition(":")[2]
    assert us.get("/runs", headers={"host": f"localhost:{port}"}).status_code == 200


# What the database says, to know that nothing has happened ------------------------------------------------------


def other_head(server: UiServer, other: Neighbour) -> object:
    return server.call(lambda: server.pages.reader.head(other.world.ws))


def our_head(server: UiServer) -> object:
    return server.call(lambda: server.pages.reader.head(server.world.ws))


def their_cursors(server: UiServer, other: Neighbour) -> dict[str, str]:
    """A place in their log and one in their list of runs."""
    with browser(server) as client:
        client.headers["authorization"] = f"Bearer {other.token}"
        head = client.get("/api/v1/log/head").json()["cursor"]
        runs = client.get("/api/v1/runs?limit=1").json()["next"]
    assert runs
    return {"log": head, "runs": runs}
