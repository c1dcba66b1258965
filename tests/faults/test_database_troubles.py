"""What other users of the database do: an old snapshot, a lock on a hot row, no connection left. Nobody mends anything by hand."""

from contextlib import ExitStack

import pytest

from support.eventually import eventually
from support.load import load
from support.sql_troubles import locked_head, no_connection_left, old_snapshot
from support.stack import TERMINAL
from support.tenants import tenant

pytestmark = [
    pytest.mark.row(20),
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
QUICK = {"seconds": 0.01, "per_second": 2.0}
DEFAULT_WS = 1


def completes_now(rig, work, count=3):
    """Runs that are started from now on get through; whatever is held is held all the time."""
    known = len(work.started)

    def through():
        fresh = [each for each in work.started[known:] if each.run]
        shown = [rig.api.patiently("GET", f"/runs/{each.run}")["state"] for each in fresh]
        return sum(state in TERMINAL for state in shown) >= count

    eventually(through, seconds=60, what=f"{count} new runs get through meanwhile")


@pytest.mark.trials(1, 3)
def test_an_old_snapshot_stops_nobody(headway, trial, seed):
    with load(headway, **QUICK) as work:
        work.until_marks(5)
        with old_snapshot(headway.database_url):
            completes_now(headway, work, count=3 + 10 * seed)
        trial.happened("snapshot held while runs came and went")
    work.drain()
    work.judge(trial)


@pytest.mark.trials(1, 3)
def test_a_locked_workspace_waits_alone(headway, tmp_path, trial, seed):
    """Two workspaces share a lane of the committer; somebody holds the head row of one of them."""
    with tenant(headway, tmp_path / "tenant", lane=DEFAULT_WS % 2) as other, ExitStack() as loads:
        rigs = {DEFAULT_WS: headway, other.ws: other}
        work = {ws: loads.enter_context(load(rig, **QUICK)) for ws, rig in rigs.items()}
        locked, free = (DEFAULT_WS, other.ws) if seed % 2 == 0 else (other.ws, DEFAULT_WS)
        for each in work.values():
            each.until_marks(5)
        told = f"writes to workspace {locked} wait"
        before = server_log(headway).count(told)
        with locked_head(headway.database_url, locked):
            eventually(lambda: server_log(headway).count(told) > before, what=told)
            trial.happened("head row locked")
            completes_now(rigs[free], work[free])
        completes_now(rigs[locked], work[locked], count=1)
        for each in work.values():
            each.drain()
            each.judge(trial)


@pytest.mark.trials(1, 2)
def test_all_connections_taken_by_others(headway, trial, seed):
    with load(headway, **QUICK) as work:
        work.until_marks(5)
        before = len(server_log(headway))
        with no_connection_left(headway.database_url):
            eventually(lambda: not is_ready(headway), what="the server says that it cannot serve")
            trial.happened("no connection left")
            assert "too many clients" in server_log(headway)[before:]
        eventually(lambda: is_ready(headway), what="the server serves again")
        completes_now(headway, work, count=1)
    work.drain()
    work.judge(trial)


def server_log(headway):
    return (headway.home / "log" / "control-plane.log").read_text()


def is_ready(headway):
    return headway.api.answer("GET", "/ready")[0] == 200
