"""SIGSTOP: an agent past its lease takes up where it was; a control plane or a database that stood still is no fault of any agent."""

import random
import signal

import psutil
import pytest

from support.eventually import eventually
from support.load import load
from support.pair import LEASE_TTL, REASSIGN_AFTER
from support.strikes import outlast, postgres_family, stopped
from support.verdicts import count_events

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


def lost_sessions(pair):
    return count_events(pair.database_url, "SessionLost")


@pytest.mark.row(5)
@pytest.mark.trials(1, 4)
@pytest.mark.parametrize("who", ["agent", "agent, supervisors and flows"])
def test_an_agent_stopped_past_its_lease_takes_up_where_it_was(pair, trial, who, seed):
    rng = random.Random(f"{who}-{seed}")
    with load(pair, per_second=1.0, seconds=0.05) as work:
        work.until_more_marks(rng.randrange(1, 30))
        agent = psutil.Process(pair.first.process.pid)
        family = [agent, *agent.children(recursive=True)] if who != "agent" else [agent]
        with pair.idle_second():
            before = lost_sessions(pair)
            with stopped(*family):
                eventually(lambda: lost_sessions(pair) > before, what="its session is lost")
                trial.happened("agent stopped past its lease")
            work.until_more_marks(5)
            work.drain()
    work.judge(trial)
    trial.holds("nothing is repeated", work.repeated())


@pytest.mark.row(6)
@pytest.mark.trials(1, 4)
@pytest.mark.parametrize("what", ["server", "PostgreSQL"])
def test_nothing_is_reassigned_because_we_stood_still(pair, trial, what, seed):
    """For two leases; every second trial for longer than `reassign_after`."""
    headway = pair.headway
    with load(pair, per_second=1.0, seconds=0.05) as work:
        work.until_more_marks(5)
        with pair.idle_second():
            still = [headway.part("server")] if what == "server" else postgres_family(headway)
            with stopped(*still):
                outlast(REASSIGN_AFTER + LEASE_TTL if seed % 2 else 2 * LEASE_TTL)
                trial.happened(f"{what} stopped past {'reassign_after' if seed % 2 else 'leases'}")
            work.until_more_marks(5)
            work.drain()
    work.judge(trial)
    trial.holds("no reassignment", work.repeated())


@pytest.mark.row(6)
@pytest.mark.trials(0, 1)
def test_nothing_is_reassigned_because_we_were_away(pair, tmp_path, trial):
    """Control plane and database are gone for longer than `reassign_after`; the agents are not to blame."""
    gate = tmp_path / "gate"
    headway = pair.headway
    with load(pair, per_second=1.0, seconds=0.05) as work:
        each = work.start("waits-for", gate=str(gate))
        work.until_more_marks(5)
        with pair.idle_second():
            headway.process.send_signal(signal.SIGSTOP)  # or it would start them again
            try:
                headway.part("server").kill()
                headway.part("postgres").kill()
                outlast(REASSIGN_AFTER + LEASE_TTL)
                trial.happened("kill -9 server and PostgreSQL, back after reassign_after")
            finally:
                headway.process.send_signal(signal.SIGCONT)
            work.until_more_marks(5)
            eventually(
                lambda: pair.api.patiently("GET", f"/runs/{each.run}")["reason"] == "executing",
                what="its agent is back",
            )
            outlast(LEASE_TTL)  # whatever was due in the meantime would be acted on by now
            gate.touch()
            work.drain()
    work.judge(trial)
    trial.holds("no reassignment", work.repeated())
