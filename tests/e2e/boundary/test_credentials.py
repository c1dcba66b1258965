"""Keys and tokens: no run gets one, no process shows one, no file that others can read holds one, no row of the database is one."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.boundary import database_contents, holds
from support.hand_agent import HandAgent, hand_agent, make_pool
from support.stack import Stack

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("boundary"),
]

FLOWS = '''
import json, os, sys
from pathlib import Path
from headway import flow

@flow
def tells(seen, gate):
    """Write down all that this process was given, then wait to be looked at."""
    open_files = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            open_files[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # the listing's own
    given = {
        "env": dict(os.environ),
        "argv": [sys.argv, sys.orig_argv],
        "command": Path("/proc/self/cmdline").read_bytes().decode(),
        "first_env": Path("/proc/self/environ").read_bytes().decode(),
        "open": open_files,
        "pid": os.getpid(),
    }
    Path(seen).write_text(json.dumps(given))
    with open(gate) as pipe:
        pipe.read()
'''


@dataclass
class Looked:
    """A run in the middle, and all that is secret around it."""

    headway: Stack
    agent: HandAgent
    run: str
    given: dict
    secrets: dict[str, bytes]
    processes: dict[int, bytes]

    def found_in(self, content: bytes) -> list[str]:
        return [what for what, secret in self.secrets.items() if holds(content, secret)]


@pytest.fixture(scope="module")
def looked(headway: Stack, tmp_path_factory) -> Iterator[Looked]:
    directory = tmp_path_factory.mktemp("run")
    (directory / "spy.py").write_text(FLOWS)
    seen, gate = directory / "seen.json", directory / "gate"
    os.mkfifo(gate)
    make_pool(headway, "hands")
    options = ("--pool", "hands", "--environment", "spy")
    headway.deploy("spy:tells", "tells", *options, root=directory)
    spare = headway.api("POST", "/enrolment-tokens", {"pool": "hands"})["token"]
    key = headway.api("POST", "/api-keys", {"name": "spare"})["key"]
    with hand_agent(headway, "hands", directory / "agent", root=directory) as agent:
        run = headway.start_run("tells", seen=str(seen), gate=str(gate))
        # A writer's open returns when the flow has told and opened the gate.
        with open_in_time(gate):
            secrets = all_secrets(headway, agent, spare, key)
            given = json.loads(seen.read_text())
            yield Looked(headway, agent, run, given, secrets, process_table())
        assert headway.ended(run)["state"] == "completed"


def open_in_time(gate: Path):
    opened: list = []
    waiter = threading.Thread(target=lambda: opened.append(gate.open("w")), daemon=True)
    waiter.start()
    waiter.join(60)
    assert opened, "the flow does not begin"
    return opened[0]


def all_secrets(headway: Stack, agent: HandAgent, spare: str, key: str) -> dict[str, bytes]:
    token = (agent.state.parent / "token").read_text().strip()
    password = (next(headway.home.glob("pg-*")) / "headway.pgpass").read_text().strip()
    return {
        "the local API key": secret_of(headway.api.token),
        "an API key": secret_of(key),
        "the agent's token": secret_of(token),
        "an unused token": secret_of(spare),
        "the agent's private key": private_key(agent.state),
        "the private key of the agent of `up`": private_key(headway.home / "agent"),
        "the database's password": password.rpartition(":")[2].encode(),
    }


def secret_of(credential: str) -> bytes:
    """The part of a key or token that makes it one; the part before it is its id, which is none."""
    secret = credential.rpartition("_")[2]
    assert len(secret) > 40
    return secret[:43].encode()


def private_key(state: Path) -> bytes:
    with sqlite3.connect(f"file:{state / 'agent.db'}?mode=ro", uri=True) as database:
        [(key,)] = database.execute("SELECT private_key FROM identity").fetchall()
    database.close()
    assert len(key) == 32
    return bytes(key)


def process_table() -> dict[int, bytes]:
    """Command lines and environments of every process that this user can look at, but for this one."""
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):  # it ended, or is another user's
                table[int(folder.name)] = (folder / "cmdline").read_bytes() + (
                    folder / "environ"
                ).read_bytes()
    return table


def test_a_run_is_given_no_credential(looked: Looked) -> None:
    assert looked.found_in(json.dumps(looked.given).encode()) == []
    ours = {name for name in looked.given["env"] if name.startswith("HEADWAY")}
    assert ours == {"HEADWAY_ATTEMPT"}
    assert "HEADWAY_HOME" not in looked.given["first_env"]


def test_a_run_inherits_no_open_file_of_the_agent(looked: Looked) -> None:
    """Neither agent.db nor the way to the control plane: what is open are pipes and sockets to its supervisor, and its own files."""
    names = {name for name in looked.given["open"].values() if name.startswith("/")}
    private = {name for name in names if not name.startswith(("/dev/", "/proc/"))}
    assert not any("agent.db" in name or "profile" in name or "token" in name for name in private)


def test_the_run_directory_holds_no_credential(looked: Looked) -> None:
    [folder] = looked.agent.run_directories(looked.run).values()
    start = folder / "start.json"
    assert stat.S_IMODE(start.stat().st_mode) == 0o600
    for path in folder.rglob("*"):
        if path.is_file():
            assert looked.found_in(path.read_bytes()) == [], path


def test_no_process_shows_a_credential(looked: Looked) -> None:
    assert looked.given["pid"] in looked.processes
    assert len(looked.processes) > 8
    shown = {
        pid: found for pid, seen in looked.processes.items() if (found := looked.found_in(seen))
    }
    assert shown == {}


def test_files_with_secrets_are_their_owners_alone(looked: Looked) -> None:
    # As a person signs in with the address that `headway up` printed: the key is in it, and goes into no log.
    api = looked.headway.api
    signed_in = httpx.get(f"{api.url}/login?token={api.token}", trust_env=False)
    assert signed_in.status_code == 303
    holders: set[str] = set()
    for top in (looked.headway.home, looked.agent.state):
        for path in top.rglob("*"):
            if not path.is_file() or path.is_symlink() or path == looked.headway.log:
                continue  # the last one is what `headway up` says to the person who started it
            found = looked.found_in(path.read_bytes())
            if found:
                holders.add(path.name)
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
                for folder in [path.parent, *path.parent.parents]:
                    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0, folder
                    if folder == top:
                        break
    assert {"profile.json", "headway.pgpass"} <= holders
    assert any(name.startswith("agent.db") for name in holders)
    assert not any(name.endswith(".log") for name in holders), holders


def test_the_database_holds_nothing_to_sign_in_with(looked: Looked) -> None:
    content = database_contents(looked.headway.database_url)
    assert looked.found_in(content) == []
    # The keys' ids are there: the dump is of the right tables.
    assert looked.headway.api.token.split("_")[2].encode() in content
