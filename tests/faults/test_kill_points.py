"""kill -9 at the points that a random blow rarely hits: on either side of a durable write, a commit, a spawn, an acknowledgement."""

import json
from contextlib import suppress

import psutil
import pytest

from support.effects import marks
from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.load import load
from support.pair import Behind
from support.proxy import Proxy

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
]


def leave_fault(headway, at, n=1):
    """For the next attempt that an agent starts."""
    unnamed = headway.home / "fault.new"
    unnamed.write_text(json.dumps({"at": at, "n": n}))
    unnamed.replace(headway.home / "fault")


def shown(headway, each):
    return headway.api.patiently("GET", f"/runs/{each.run}")


def in_attempt(headway, each, number):
    found = shown(headway, each)
    told = (found["state"], found["attempt"])
    return [] if told == ("completed", number) else [f"run {each.run} is {told}, not in {number}"]


@pytest.mark.row(2)
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
def test_the_supervisor_dies_beside_a_durable_write(headway, trial, at, n):
    leave_fault(headway, at, n)
    with load(headway, most=0) as work:
        each = work.start("many-steps")
    work.drain()
    assert not (headway.home / "fault").exists()
    trial.happened(f"kill -9 supervisor {at.replace('_', ' ')}")
    if at.endswith("starting_durable") or at == "after_starting":
        first = [mark for mark in marks(each.file) if mark.fence == 1]
        trial.holds("no user code before STARTING is durable", first)
    last = headway.frames(each.run, 1)[-1]
    work.judge(trial)
    trial.holds("the second attempt counts", in_attempt(headway, each, 2))
    assert (last["outcome"], last["cause"]) == ("crashed", "supervisor lost")


@pytest.mark.row(2)
@pytest.mark.parametrize("at", ["before_spawn", "after_spawn"])
def test_the_agent_dies_beside_the_spawn(headway, trial, at):
    """Recorded and not started, or started and not recorded: in both cases the attempt runs, and once."""
    before = headway.part("agent").pid
    leave_fault(headway, at)
    with load(headway, most=0) as work:
        each = work.start("many-steps")
    work.drain()
    assert headway.part("agent").pid != before
    trial.happened(f"kill -9 agent {at.replace('_', ' ')}")
    work.judge(trial)
    trial.holds("the attempt runs once", in_attempt(headway, each, 1))


def kill_server(rig):
    """With it goes what it had sent and the proxy held back."""
    rig.headway.part("server").kill()
    rig.proxy.reset()
    rig.proxy.mend()


def head(rig):
    return rig.api.patiently("GET", "/log/head")["cursor"]


@pytest.fixture(scope="module")
def proxied(headway, tmp_path_factory):
    make_pool(headway, "proxied")
    headway.deploy("effects:many_steps", "proxied-steps", "--pool", "proxied")
    headway.deploy("effects:one_step", "proxied-step", "--pool", "proxied")
    with (
        Proxy(headway.grpc_port) as proxy,
        hand_agent(
            headway, "proxied", tmp_path_factory.mktemp("proxied"), port=proxy.port
        ) as agent,
    ):
        yield Behind(headway, proxy, agent)
        proxy.mend()


@pytest.mark.row(1)
def test_the_control_plane_dies_between_commit_and_acknowledgement(proxied, trial):
    with load(proxied, most=0) as work:
        each = work.start("proxied-steps", seconds=0.05)
        eventually(lambda: len(marks(each.file)) >= 3)
        proxied.proxy.hold_down()
        before = head(proxied)
        eventually(lambda: head(proxied) != before, what="facts are committed")
        kill_server(proxied)
        trial.happened("kill -9 server between commit and acknowledgement")
    work.drain()
    work.judge(trial)
    trial.holds("the attempt runs once", in_attempt(proxied, each, 1))


@pytest.mark.row(1)
def test_the_control_plane_dies_with_the_grant_on_its_way(proxied, trial):
    proxied.proxy.hold_down()
    with load(proxied, most=0) as work:
        each = work.start("proxied-step", expected={"flow", "step-1"})
        eventually(lambda: shown(proxied, each)["state"] == "pending")
        kill_server(proxied)
        trial.happened("kill -9 server with a grant on its way")
    work.drain()
    work.judge(trial)
    trial.holds("the attempt runs once", in_attempt(proxied, each, 1))


@pytest.mark.row(7)
def test_a_cancel_overtakes_a_grant_that_never_arrived(proxied, trial):
    proxied.proxy.hold_down()
    with load(proxied, most=0) as work:
        each = work.start("proxied-step", expected=(), outcomes=("cancelled",))
        eventually(lambda: shown(proxied, each)["state"] == "pending")
        proxied.api("POST", f"/runs/{each.run}/cancel", {})
        proxied.proxy.reset()
        proxied.proxy.mend()
        trial.happened("connection reset with a grant on its way")
    work.drain()
    trial.holds("a cancelled run does not begin", marks(each.file))
    work.judge(trial)


def committing(headway):
    """A backend of PostgreSQL in the middle of a statement that writes."""
    for process in headway.part("postgres").children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
            if process.cmdline()[0].endswith(("COMMIT", "INSERT", "UPDATE")):
                return process
    return None


@pytest.mark.row(3)
@pytest.mark.trials(0, 4)
@pytest.mark.parametrize("what", ["backend", "PostgreSQL"])
def test_postgresql_dies_during_commits(headway, trial, what, seed):
    """A backend that dies takes all others with it; both ways every connection is lost with its outcome unknown."""
    with load(headway, per_second=2.0, seconds=0.03) as work:
        work.until_more_marks(3)
        struck = eventually(lambda: committing(headway), what="a backend that writes")
        victim = struck if what == "backend" else headway.part("postgres")
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            trial.happened(f"kill -9 {what} during a commit")
        work.until_more_marks(3)
    work.drain()
    work.judge(trial)
    trial.holds("an outage of ours repeats nothing of theirs", work.repeated())
