"""A flow asks about its run on a whole Headway: the second attempt is told what the first one was, and a kept process what each run is."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from support.stack import Stack


def told(headway: Stack, deployment: str, **more: object) -> tuple[dict[str, Any], list[Any]]:
    run = headway.api("POST", "/runs", {"deployment": deployment, **more})["id"]
    ended = headway.ended(run)
    assert ended["state"] == "completed", ended
    return ended, json.loads(ended["result"]["preview"])


def test_the_second_attempt_knows_tags_time_page_and_version(headway: Stack):
    ended, [tags, at, url, version, attempt] = told(headway, "tells", tags=["x"])
    assert (sorted(tags), version, attempt) == (["own", "x"], "7.1 β", 2)
    assert sorted(ended["tags"]) == sorted(tags)
    assert datetime.fromisoformat(at) == datetime.fromisoformat(ended["created_at"])
    assert url == f"{headway.api.url}/runs/{ended['id']}"
    assert ended["flow_version"] == version
    assert "flow version  7.1 β" in headway.headway("runs", "show", ended["id"]).stdout
    assert "flow version  7.1 β" in headway.headway("deployments", "show", "tells").stdout


def test_a_kept_process_tells_each_run_its_own(headway: Stack):
    said = [told(headway, "tells-again", tags=[str(n)]) for n in range(2)]
    assert [tags for _, [tags, *_] in said] == [["0"], ["1"]]
    assert [url.rpartition("/")[2] for _, [_, _, url, *_] in said] == [run["id"] for run, _ in said]
    assert {version for _, [*_, version, _] in said} == {"kept"}
