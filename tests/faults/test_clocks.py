"""Clocks that are wrong, jump and drift: leases do not care, nothing is assigned anew, and the log's times never go back."""

import os
from pathlib import Path

import psutil
import psycopg
import pytest

from support.agent_rig import AgentRig
from support.capabilities import require
from support.clocks import WrongClock, elsewhere_in_time
from support.effects import MANY_STEPS
from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.load import RESULTS, load
from support.proxy import Proxy
from support.stack import stack

pytestmark = [
    pytest.mark.row(15),
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
HOUR = 3600
STEPS = {"expected": MANY_STEPS, "result": RESULTS["many-steps"]}


@pytest.fixture
def pool(headway, seed, request):
    name = f"{request.node.originalname}-{seed}"
    make_pool(headway, name)
    headway.deploy("effects:many_steps", name, "--pool", name)
    return name


@pytest.fixture
def clock(tmp_path):
    require("cc")
    return WrongClock(tmp_path / "clock")


def wrongly_clocked(clock):
    return ["env", *(f"{name}={value}" for name, value in clock.environment.items())]


def nothing_moved(trial, shown):
    again = [run["id"] for run in shown.values() if run["attempt"] != 1]
    trial.holds("nothing is assigned anew", again)


@pytest.mark.trials(1, 4)
def test_an_agents_wall_clock_steps_by_an_hour(headway, tmp_path, pool, clock, trial, seed):
    """In the midst of a lease and under load; then it has to reconnect, with assertions that look an hour old or young."""
    by = HOUR if seed % 2 else -HOUR
    with (
        Proxy(headway.grpc_port) as proxy,
        hand_agent(
            headway, pool, tmp_path / "agent", port=proxy.port, before=wrongly_clocked(clock)
        ) as agent,
    ):
        with load(AgentRig(headway, agent), deployment=pool, **STEPS) as work:
            work.until_marks(10)
            clock.set(by)
            work.until_more_marks(10)
            proxy.reset()
            eventually(
                lambda: agent.log_lines("use the control plane's time"), what="it has noticed"
            )
            trial.happened(f"wall clock stepped by {by:+} s")
            work.until_more_marks(20)
            clock.set(0)
            work.until_more_marks(5)
        shown = work.drain()
        nothing_moved(trial, shown)
        work.judge(trial)


@pytest.mark.trials(1, 2)
def test_an_agents_boot_time_clock_drifts(headway, tmp_path, pool, clock, trial, seed):
    clock.set(0, rate=0.98 if seed % 2 == 0 else 1.02)
    with hand_agent(headway, pool, tmp_path / "agent", before=wrongly_clocked(clock)) as agent:
        assert loaded(agent.process.pid, clock)
        trial.happened("boot-time clock drifts by 2 %")
        with load(AgentRig(headway, agent), deployment=pool, **STEPS) as work:
            work.until_marks(60)
        nothing_moved(trial, work.drain())
        work.judge(trial)


@pytest.mark.trials(1, 2)
def test_an_agents_boot_time_jumps(headway, tmp_path, pool, trial, seed):
    """It comes back on a machine whose boot-time clock is years ahead, and takes up what it had begun."""
    require("timens")
    with hand_agent(headway, pool, tmp_path / "agent") as agent:
        with load(AgentRig(headway, agent), deployment=pool, seconds=0.05, **STEPS) as work:
            work.until_marks(15)
            agent.process.kill()
            agent.process.wait()
            agent.command = [*elsewhere_in_time((seed + 1) * 100_000_000), *agent.command]
            agent.start()
            assert (
                Path(f"/proc/{agent.process.pid}/ns/time").readlink()
                != Path("/proc/self/ns/time").readlink()
            )
            trial.happened("boot-time clock jumped by years")
            work.until_more_marks(30)
        nothing_moved(trial, work.drain())
        work.judge(trial)


@pytest.fixture
def public_clock(tmp_path_factory):
    """Where PostgreSQL, which runs as somebody else, can read it too."""
    require("cc")
    directory = tmp_path_factory.mktemp("clock")
    for folder in (directory, *directory.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    return WrongClock(directory)


@pytest.mark.trials(1, 4)
def test_the_wall_clock_of_the_whole_machine_steps(tmp_path_factory, public_clock, trial, seed):
    """Control plane, PostgreSQL and agent: back by a few seconds, or an hour ahead at once."""
    home = tmp_path_factory.mktemp("h")
    by = -5 if seed % 2 == 0 else HOUR
    with stack(home, **public_clock.environment) as headway:
        headway.deploy("effects:many_steps", "many-steps")
        assert loaded(headway.part("postgres").pid, public_clock)
        with load(headway) as work:
            work.until_marks(20)
            before = database_time(headway)
            public_clock.set(by)
            assert abs(database_time(headway) - before - by) < HOUR / 2
            trial.happened(f"the machine's clock stepped by {by:+} s")
            work.until_more_marks(30)
        nothing_moved(trial, work.drain())
        work.judge(trial)


def loaded(pid, clock):
    library = clock.environment["LD_PRELOAD"]
    return any(each.path == library for each in psutil.Process(pid).memory_maps())


def database_time(headway):
    with psycopg.connect(headway.database_url) as connection:
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return row[0]
