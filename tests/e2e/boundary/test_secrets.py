"""Values of secrets, on the whole running system, in a pool that permits everything: not in a byte that the agent sends, not in a row
of the database, and on the agent's disk only where results are kept for the next attempt.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from headway_control_plane.application.create_pool import DATA_CLASSES
from support.boundary import database_contents, forms
from support.hand_agent import hand_agent
from support.proxy import Proxy
from support.stack import Stack

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("boundary"),
]

POOL = "with-secrets"
FLOWS = """
import base64, json, logging, os, subprocess, sys
import headway
from headway import ProcessRunner, flow, task

class Provider:
    def get(self, name):
        path = os.path.join(os.path.dirname(__file__), "vault.json")
        return json.load(open(path)).get(name)

def all_of_them():
    return [headway.secret(name).get() for name in ("from-variable", "from-mapping", "from-file", "from-provider")]

@task(task_run_name="as {value}")
def keep(value):
    print("in a task", value)
    return {"dsn": value}

@task
def in_worker():
    values = all_of_them()
    print("in a worker", *values)
    subprocess.run([sys.executable, "-c", "import sys; print(sys.argv)", *values])
    return values[0]

@task(retries=1)
def boom(value):
    raise RuntimeError("cannot use " + value)

def leak(values):
    for value in values:
        print(value, repr(value), json.dumps([value]), base64.b64encode(b"u:" + value.encode()).decode())
        logging.getLogger("lib").warning("with %s", value)
        keep(value)
    print(dict(os.environ), file=sys.stderr)

@flow(task_runner=ProcessRunner(1), flow_run_name="run of something")
def completes():
    values = all_of_them()
    leak(values)
    return [in_worker.submit().result(), *values]

@flow
def fails():
    values = all_of_them()
    try:
        leak(values)
        boom(values[2])
    except RuntimeError as error:
        raise KeyError(values[3]) from error

@flow
def crashes():
    print(*all_of_them(), flush=True)
    os.kill(os.getpid(), 9)
"""


@dataclass
class Trial:
    values: dict[str, str]
    runs: dict[str, dict[str, Any]]
    sent: bytes
    stored: bytes
    state: Path

    def found_in(self, content: bytes) -> set[str]:
        return {
            name
            for name, value in self.values.items()
            if any(form in content for form in {*forms(value.encode()), *aligned(value)})
        }


def aligned(value: str) -> set[bytes]:
    return {base64.b64encode(b"x" * n + value.encode())[4:20] for n in range(3)}


@pytest.fixture(scope="module")
def trial(headway: Stack, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    directory = tmp_path_factory.mktemp("secrets")
    names = ("from-variable", "from-mapping", "from-file", "from-provider")
    values = {name: f"{secrets.token_hex(9)}/+{name[5:]}" for name in names}
    root, mounted = directory / "code", directory / "mounted"
    root.mkdir()
    mounted.mkdir()
    (root / "secretive.py").write_text(FLOWS)
    (root / "vault.json").write_text(json.dumps({"from-provider": values["from-provider"]}))
    (mounted / "from-file").write_text(values["from-file"] + "\n")
    (mounted / "from-file").chmod(0o400)
    variables = directory / "variables"
    variables.write_text(
        f"HEADWAY_SECRET_FROM_VARIABLE={values['from-variable']}\nDB_PASS={values['from-mapping']}\n"
    )
    headway.api("POST", "/pools", {"name": POOL, "permits": list(DATA_CLASSES)})
    options = ("--pool", POOL, "--environment", POOL, "--env-file", str(variables))
    flows = {"completes": "completed", "fails": "failed", "crashes": "crashed"}
    file = headway.home / "agent" / "environments.toml"
    for flow in flows:  # what the first one is given by hand stays through the others
        headway.deploy(f"secretive:{flow}", f"secretive-{flow}", *options, root=root)
        content = tomllib.loads(file.read_text())
        content["environments"][POOL] |= {
            "secrets": "secretive:Provider",
            "secrets_dir": str(mounted),
            "secrets_env": {"from-mapping": "DB_PASS"},
        }
        if flow == "completes":
            file.write_text(tomli_w.dumps(content))
        assert tomllib.loads(file.read_text()) == content
    with Proxy(headway.grpc_port) as proxy:
        proxy.captured = []
        with hand_agent(headway, POOL, directory / "agent", port=proxy.port, root=root) as agent:
            started = {flow: headway.start_run(f"secretive-{flow}") for flow in flows}
            runs = {flow: headway.ended(run) for flow, run in started.items()}
        sent = b"".join(proxy.captured)
    assert {flow: run["state"] for flow, run in runs.items()} == flows
    return Trial(values, runs, sent, database_contents(headway.database_url), agent.state)


def test_no_byte_that_leaves_and_no_row_holds_a_value(trial: Trial) -> None:
    assert trial.found_in(trial.sent) == set()
    assert trial.found_in(trial.stored) == set()


def test_what_stands_in_their_place_did_arrive(trial: Trial) -> None:
    """The search looked at the right bytes: lines, errors and results came through, with marks in them."""
    for name in trial.values:
        mark = f"[redacted:{name}]"
        assert f"in a task {mark}".encode() in trial.stored
        assert f'{{"dsn":"{mark}"}}'.encode() in trial.stored
        assert b"HEADWAY_SECRET_FROM_VARIABLE': '[redacted:from-variable]'" in trial.stored
    assert b"in a worker [redacted:from-variable] [redacted:from-mapping]" in trial.stored
    assert b"cannot use [redacted:from-file]" in trial.stored
    assert "[redacted:from-provider]" in json.dumps(trial.runs["fails"]["error"])


def test_on_the_agents_disk_only_results_hold_values(trial: Trial) -> None:
    """Of the other bytes in frames.log, the unit tests say that they hold none."""
    holding = {
        path.name
        for path in trial.state.rglob("*")
        if path.is_file() and trial.found_in(path.read_bytes())
    }
    assert holding == {"frames.log"}
    crashed = trial.state / "runs" / trial.runs["crashes"]["id"]
    found = subprocess.run(
        ["grep", "-rlaF", *(w for v in trial.values.values() for w in ("-e", v)), str(crashed)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, b""), "a run without results leaves none at all"
