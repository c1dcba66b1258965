"""kill -9 at the points that a random blow rarely hits: on either side of a durable write, a commit, a spawn, an acknowledgement."""

import json
from contextlib import suppress

import psutil
import pytest

from support.effects import MANY_STEPS, marks, violations
from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.proxy import Proxy

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("kill-points"),
]


def leave_fault(headway, at, n=1):
    """For the next attempt that an agent starts."""
    unnamed = headway.home / "fault.new"
    unnamed.write_text(json.dumps({"at": at, "n": n}))
    unnamed.replace(headway.home / "fault")


def head(headway):
    return headway.api.patiently("GET", "/log/head")["cursor"]


@pytest.mark.parametrize(
    ("at", "n"),
    [
        ("before_starting_durable", 1),
        ("after_starting", 1),
        ("before_commit", 1),
        ("before_commit", 6),
        ("after_commit", 1),
        ("after_commit", 6),
    ],
)
def test_the_supervisor_dies_beside_a_durable_write(headway, tmp_path, at, n):
    leave_fault(headway, at, n)
    file = tmp_path / "marks"
    run = headway.start_run("many-steps", path=str(file))
    ended = headway.ended(run)
    assert not (headway.home / "fault").exists()
    assert (ended["state"], ended["attempt"]) == ("completed", 2)
    first = [mark for mark in marks(file) if mark.fence == 1]
    if at.endswith("starting_durable") or at == "after_starting":
        assert first == [], "user code may not run before STARTING is durable"
    assert violations(file, headway.run_directories(run), MANY_STEPS) == []
    assert headway.violations() == []
    last = headway.frames(run, 1)[-1]
    assert (last["outcome"], last["cause"]) == ("crashed", "supervisor lost")


@pytest.mark.parametrize("at", ["before_spawn", "after_spawn"])
def test_the_agent_dies_beside_the_spawn(headway, tmp_path, at):
    """Recorded and not started, or started and not recorded: in both cases the attempt runs, and once."""
    before = headway.part("agent").pid
    leave_fault(headway, at)
    file = tmp_path / "marks"
    run = headway.start_run("many-steps", path=str(file))
    ended = headway.ended(run)
    assert headway.part("agent").pid != before
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    assert violations(file, headway.run_directories(run), MANY_STEPS) == []
    assert headway.violations() == []


@pytest.fixture(scope="module")
def proxied(headway, tmp_path_factory):
    """An agent behind a proxy, in a pool of its own, and its deployments."""
    make_pool(headway, "proxied")
    headway.deploy("effects:many_steps", "proxied-steps", "--pool", "proxied")
    headway.deploy("effects:one_step", "proxied-step", "--pool", "proxied")
    with Proxy(headway.grpc_port) as proxy:
        directory = tmp_path_factory.mktemp("proxied")
        with hand_agent(headway, "proxied", directory, port=proxy.port) as agent:
            agent.proxy = proxy
            yield agent
            proxy.mend()


def kill_server(headway, proxy):
    """With it goes what it had sent and the proxy held back."""
    headway.part("server").kill()
    proxy.reset()
    proxy.mend()


def test_the_control_plane_dies_between_commit_and_acknowledgement(headway, proxied, tmp_path):
    file = tmp_path / "marks"
    run = headway.start_run("proxied-steps", path=str(file), seconds=0.05)
    eventually(lambda: len(marks(file)) >= 3)
    proxied.proxy.hold_down()
    before = head(headway)
    eventually(lambda: head(headway) != before, what="facts are committed")
    kill_server(headway, proxied.proxy)
    ended = headway.ended(run)
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    assert violations(file, proxied.run_directories(run), MANY_STEPS) == []
    assert headway.violations() == []


def test_the_control_plane_dies_with_the_grant_on_its_way(headway, proxied, tmp_path):
    file = tmp_path / "marks"
    proxied.proxy.hold_down()
    run = headway.start_run("proxied-step", path=str(file))
    eventually(lambda: headway.api("GET", f"/runs/{run}")["state"] == "pending")
    kill_server(headway, proxied.proxy)
    ended = headway.ended(run)
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    assert violations(file, proxied.run_directories(run), {"flow", "step-1"}) == []
    assert headway.violations() == []


def test_a_cancel_overtakes_a_grant_that_never_arrived(headway, proxied, tmp_path):
    file = tmp_path / "marks"
    proxied.proxy.hold_down()
    run = headway.start_run("proxied-step", path=str(file))
    eventually(lambda: headway.api("GET", f"/runs/{run}")["state"] == "pending")
    headway.api("POST", f"/runs/{run}/cancel", {})
    proxied.proxy.reset()
    proxied.proxy.mend()
    ended = headway.ended(run)
    assert ended["state"] == "cancelled"
    assert marks(file) == []
    assert headway.violations() == []


def committing(headway):
    """A backend of PostgreSQL in the middle of a statement that writes."""
    for process in headway.part("postgres").children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
            if process.cmdline()[0].endswith(("COMMIT", "INSERT", "UPDATE")):
                return process
    return None


@pytest.mark.parametrize("what", ["backend", "all of it"])
def test_postgresql_dies_during_commits(headway, tmp_path, what):
    """A backend that dies takes all others with it; both ways every connection is lost with its outcome unknown."""
    file = tmp_path / "marks"
    run = headway.start_run("many-steps", path=str(file), seconds=0.05)
    eventually(lambda: len(marks(file)) >= 3)
    struck = eventually(lambda: committing(headway), what="a backend that writes")
    victim = struck if what == "backend" else headway.part("postgres")
    with suppress(psutil.NoSuchProcess):
        victim.kill()
    ended = headway.ended(run)
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    assert violations(file, headway.run_directories(run), MANY_STEPS) == []
    assert headway.violations() == []
