"""Forms, cookies and names: what another site, or a page of another workspace, sends is not obeyed."""

from __future__ import annotations

import pytest

from support.ui_neighbours import (
    FORM_TOKEN,
    NAMING,
    browser,
    form_token,
    other,
    other_head,
    our_head,
    server,
    target,
    ui_routes,
    us,
)

pytestmark = pytest.mark.postgres

__all__ = ["other", "server", "us"]


def test_a_form_for_many_runs_does_nothing_to_those_of_another(server, other, us):
    head = other_head(server, other)
    form = {"form_token": form_token(us), "action": "cancel", "run": str(other.run)}
    answer = us.post("/runs/bulk", data=form)
    assert answer.status_code == 200
    assert other.found_in(answer.content, str(other.run)) == []
    assert other_head(server, other) == head


def test_no_form_is_obeyed_that_our_own_pages_did_not_send(server, other, us):
    """Without a token, with another session's, with a good one from another site: refused, and nothing has happened."""
    with browser(server, other.token) as them:
        found = FORM_TOKEN.search(them.get(f"/deployments/{other.deployment_name}").text)
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
