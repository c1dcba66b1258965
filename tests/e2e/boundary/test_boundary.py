"""The promise that code, data, results, secrets and output stay with the customer, proven on the whole running system.

A pool with the permits of every new pool; flows that hold a random word wherever a word can be: in code, comments, file and
directory names, names of tasks and sub-flows, variables of the environment and their names, parameters, defaults, results, output,
log lines, messages of exceptions and their causes, local variables. Looked for in every byte that the agent sends, caught by a
relay between it and the control plane, and in every row of the control plane's database.

What a user tells the control plane stands in its database, and has to: `headway deploy` sends names of deployment, flow and module,
the description, tags, the parameters' schema and defaults; `headway run` sends parameters and the run's name. It comes from there,
not from the agent, which repeats none of it. Error classes, ids, timings and counters are what a new pool permits.

The same flows in a pool that permits everything are the control: there the same search finds every word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from headway_control_plane.application.create_pool import DATA_CLASSES, NEW_POOL_PERMITS
from support.boundary import STAYS, TOLD, Words, database_contents
from support.hand_agent import HandAgent, hand_agent
from support.proxy import Proxy
from support.stack import Stack

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("boundary"),
]

FLOWS = {"completes": "completed", "fails": "failed", "crashes": "crashed"}
ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass
class Side:
    """A pool, its agent behind a relay, and what the agent sent while the flows ran."""

    words: Words
    headway: Stack
    agent: HandAgent
    runs: dict[str, str]
    sent: bytes
    pool: str

    def page(self, path: str) -> str:
        cookies = {"headway_session": self.headway.api.token}
        answer = httpx.get(f"{self.headway.api.url}{path}", cookies=cookies, trust_env=False)
        assert answer.status_code == 200
        return answer.text.replace("&#34;", '"')


def through_a_relay(headway: Stack, pool: str, directory: Path) -> Side:
    """Deploy, run and let every flow end in a pool of its own."""
    words = Words()
    root, variables = words.write_flows(directory), words.write_variables(directory)
    options = ("--pool", pool, "--environment", pool, "--env-file", str(variables))
    names = {flow: f"{words['deployment']}-{flow}" for flow in FLOWS}
    for flow, name in names.items():
        headway.deploy(f"{words['module']}:{flow}", name, *options, root=root)
    with Proxy(headway.grpc_port) as proxy:
        proxy.captured = []
        with hand_agent(headway, pool, directory / "agent", port=proxy.port, root=root) as agent:
            runs = {flow: start(headway, words, name) for flow, name in names.items()}
            for flow, run in runs.items():
                ended = headway.ended(run)
                assert ended["state"] == FLOWS[flow], (ended["reason_text"], ended["error"])
        # The agent is drained: all that it had to say is said.
        sent = b"".join(proxy.captured)
    return Side(words, headway, agent, runs, sent, pool)


def start(headway: Stack, words: Words, deployment: str) -> str:
    body = {
        "deployment": deployment,
        "name": words["run_name"],
        "parameters": {"value": words["parameter"]},
    }
    return str(headway.api("POST", "/runs", body)["id"])


@pytest.fixture(scope="module")
def closed(headway: Stack, tmp_path_factory) -> Side:
    """Created as anybody creates a pool, without a word about permits."""
    headway.api("POST", "/pools", {"name": "closed"})
    return through_a_relay(headway, "closed", tmp_path_factory.mktemp("closed"))


@pytest.fixture(scope="module")
def open_(headway: Stack, tmp_path_factory) -> Side:
    headway.api("POST", "/pools", {"name": "open", "permits": list(DATA_CLASSES)})
    return through_a_relay(headway, "open", tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module")
def stored(closed: Side, open_: Side) -> bytes:
    """The database after everything has run."""
    return database_contents(closed.headway.database_url)


def test_a_new_pool_permits_what_the_design_says(closed: Side) -> None:
    permits = closed.headway.api("GET", "/pools/closed")["permits"]
    assert set(permits) == set(NEW_POOL_PERMITS) == {"id", "timing", "counter", "error_class"}


def test_no_byte_that_the_agent_sends_holds_a_word(closed: Side) -> None:
    assert closed.words.found_in(closed.sent, (*STAYS, *TOLD)) == set()
    assert b".py" not in closed.sent
    assert ZSTD not in closed.sent, "output was sent"
    # It did report, and what is permitted came through: the search looks at the right bytes.
    assert b"AttemptExited" in closed.sent
    assert b"Unfit" in closed.sent


def test_nothing_that_the_control_plane_stores_holds_a_word(closed: Side, stored: bytes) -> None:
    assert closed.words.found_in(stored, STAYS) == set()
    assert closed.words.found_in(stored, TOLD) == set(TOLD)


def test_where_a_pool_permits_it_the_same_search_finds_it(open_: Side, stored: bytes) -> None:
    """What no permit lets out stays even then: comments, names of variables and files. Lines of code leave with a traceback,
    what caused an error and where code lies with the log.
    """
    stays = {"comment", "variable_name", "file"}
    assert open_.words.found_in(stored, STAYS) == set(STAYS) - stays
    assert open_.words.found_in(open_.sent, ("task", "subflow", "message", "result")) == {
        "task", "subflow", "message", "result",
    }  # fmt: skip
    assert ZSTD in open_.sent


def test_pages_say_what_is_withheld_and_why(closed: Side) -> None:
    failed = closed.page(f"/runs/{closed.runs['fails']}")
    assert "Unfit" in failed
    assert 'the permits of pool "closed" do not name error_text' in failed
    for run in closed.runs.values():
        page = closed.page(f"/runs/{run}")
        assert 'the permits of pool "closed" do not name log' in page
        assert "(name withheld)" in page
        assert closed.words.found_in(page.encode(), STAYS) == set()


def test_the_api_serves_what_is_permitted_and_nothing_in_place_of_the_rest(closed: Side) -> None:
    api = closed.headway.api
    for flow, run in closed.runs.items():
        tasks = api("GET", f"/runs/{run}/tasks")["items"]
        assert tasks
        assert {task["name"] for task in tasks} == {""}
        assert api("GET", f"/runs/{run}/logs")["lines"] == []
        answers = [
            api("GET", f"/runs/{run}{part}") for part in ("", "/attempts", "/events", "/tasks")
        ]
        assert closed.words.found_in(str(answers).encode(), STAYS) == set(), flow
    failed = api("GET", f"/runs/{closed.runs['fails']}")["error"]
    assert failed == {"class": "Unfit", "message": None, "traceback": None}
    assert api("GET", f"/runs/{closed.runs['completes']}")["result"].get("preview") is None


def test_the_name_of_the_machine_is_a_name(closed: Side) -> None:
    api = closed.headway.api
    for run in closed.runs.values():
        [attempt] = api("GET", f"/runs/{run}/attempts")["attempts"]
        assert attempt["host"] == ""


def test_what_did_not_leave_is_with_the_customer(closed: Side) -> None:
    """Withheld is not lost: the run directories hold the story."""
    kept = b"".join(
        path.read_bytes()
        for run in closed.runs.values()
        for folder in closed.agent.run_directories(run).values()
        for path in folder.rglob("*")
        if path.is_file()
    )
    here = {"task", "subflow", "line", "logger", "stderr", "message", "result", "variable"}
    assert closed.words.found_in(kept, here) == here


def test_every_invariant_holds(closed: Side, open_: Side) -> None:
    assert closed.headway.violations() == []
