"""Forms of other sites, files, and what every answer carries."""

import os
import re

import pytest
from starlette.requests import Request

from headway_control_plane.ui.assets import Assets
from headway_control_plane.ui.rendering import make_environment
from headway_control_plane.ui.security import (
    HEADERS,
    ForeignForm,
    form_token,
    local_path,
    require_own_form,
    require_own_origin,
)

SECRET = b"s" * 32


def request(**headers: str) -> Request:
    raw = [
        (name.encode(), value.encode()) for name, value in ({"host": "headway:1"} | headers).items()
    ]
    return Request(
        {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": raw}
    )


def test_a_page_of_this_session_may_post():
    require_own_form(request(origin="http://headway:1"), SECRET, form_token(SECRET, os.urandom))


def test_tokens_differ_from_page_to_page():
    assert form_token(SECRET, os.urandom) != form_token(SECRET, os.urandom)


@pytest.mark.parametrize("token", ["", "x", "AAAA", "é", "A" * 88, "A" * 5000])
def test_other_tokens_are_refused(token):
    with pytest.raises(ForeignForm):
        require_own_form(request(), SECRET, token)


def test_a_token_of_another_session_is_refused():
    with pytest.raises(ForeignForm):
        require_own_form(request(), SECRET, form_token(b"t" * 32, os.urandom))


@pytest.mark.parametrize(
    "origin", ["http://evil", "null", "http://headway:2", "https://headway:1.evil"]
)
def test_other_origins_are_refused(origin):
    with pytest.raises(ForeignForm):
        require_own_origin(request(origin=origin))


@pytest.mark.parametrize(
    "wanted", ["//evil", "/\\evil", "https://evil", "", "/login?next=/login", "/runs\r\nx", "runs"]
)
def test_signing_in_leads_nowhere_else(wanted):
    assert local_path(wanted) == ""


def test_signing_in_leads_back():
    assert local_path("/runs?state=failed") == "/runs?state=failed"


def test_the_policy_lets_nothing_inline_or_foreign_in():
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_templates_hold_nothing_that_the_policy_forbids():
    environment = make_environment(Assets())
    for name in environment.list_templates(extensions=["html"]):
        source = environment.loader.get_source(environment, name)[0]
        assert not re.search(
            r"\sstyle=|\son[a-z]+=|<style|javascript:|<script(?![^>]*src=)", source
        ), name
        assert "|safe" not in source, name


def test_modules_import_each_other_by_their_full_names():
    assets = Assets()
    version = assets.url("app.js").split("/")[2]
    for name in ("live.js", "run.js", "app.js"):
        text = assets._assets[name].plain.decode()
        for target in re.findall(r"""(?:from|import)\s*["']([^"']+)["']""", text):
            assert target.startswith(f"/ui/{version}/"), (name, target)


def test_files_are_small():
    assets = Assets()._assets
    assert len(assets["headway.css"].packed) < 14 * 1024
    modules = {name: len(asset.packed) for name, asset in assets.items() if name.endswith(".js")}
    assert max(modules.values()) < 8 * 1024
    assert sum(modules.values()) < 25 * 1024
