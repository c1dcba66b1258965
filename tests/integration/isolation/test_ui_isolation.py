"""Two workspaces and one UI. Whatever page exists: for the other's things it answers as for things that are nowhere.

Routes come from the UI itself, so a new one fails here until it is said how it could touch another workspace.
"""

from __future__ import annotations

import re
from uuid import uuid4

import httpx
import pytest

from support.two_workspaces import BAIT, Neighbour
from support.ui_neighbours import (
    FORM_TOKEN,
    NAMING,
    browser,
    form_token,
    other,
    other_head,
    server,
    target,
    ui_routes,
    us,
)
from support.ui_server import UiServer

pytestmark = pytest.mark.postgres

__all__ = ["other", "server", "us"]

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
    ("GET", "/artifacts"): [""],
    ("GET", "/variables"): ["", f"name={BAIT}"],
    ("POST", "/variables"): [],
    ("POST", "/variables/unset"): [],
    ("GET", "/agents"): ["", "pool=POOL"],
    ("GET", "/time-zone"): [],
    ("POST", "/time-zone"): [],
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
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def plain(answer: httpx.Response, *asked: str) -> str:
    """What an answer says, without what is random in every one and what the question held."""
    text = f"{answer.status_code} {answer.headers.get('location', '')}\n{answer.text}"
    for known in asked:
        text = text.replace(known, "WHAT WAS ASKED")
    return FORM_TOKEN.sub("TOKEN", text)


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


def their_cursors(server: UiServer, other: Neighbour) -> dict[str, str]:
    """A place in their log and one in their list of runs."""
    with browser(server) as client:
        client.headers["authorization"] = f"Bearer {other.token}"
        head = client.get("/api/v1/log/head").json()["cursor"]
        runs = client.get("/api/v1/runs?limit=1").json()["next"]
    assert runs
    return {"log": head, "runs": runs}
