"""The lease history: a line for each change, and what is known to be fenced is not held."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from headway_agent.core.lease import Lease
from headway_agent.core.resume import Position, Reporting
from headway_agent.core.session import Rules, Session
from headway_agent.loops.lease_history import LeaseHistory

RUN = ("run", 1)
FULL = Path("/dev/full")


def test_it_tells_each_change_once(tmp_path):
    now = [10.0]
    clock = SimpleNamespace(boottime=lambda: now[0])
    hub = SimpleNamespace(session=Session(Rules(slots=1)), reporting=Reporting(), after_step=None)
    path = tmp_path / "history"
    with LeaseHistory(path, "agent-1", clock) as history:
        history.watch(hub)
        hub.after_step()
        now[0] = 11.0
        hub.session = Session(
            Rules(slots=1), lease=Lease(trusted_until=20.0), running=frozenset({RUN})
        )
        hub.after_step()
        now[0] = 12.0
        hub.reporting = Reporting(positions={RUN: Position(fenced=True)})
        hub.after_step()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(each["at"], each["trusted_until"], each["attempts"]) for each in lines] == [
        (10.0, None, []),
        (11.0, 20.0, [["run", 1]]),
        (12.0, 20.0, []),
    ]
    assert {each["agent"] for each in lines} == {"agent-1"}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_stops_nothing(tmp_path, caplog):
    hub = SimpleNamespace(session=Session(Rules(slots=1)), reporting=Reporting(), after_step=None)
    with LeaseHistory(FULL, "agent-1", SimpleNamespace(boottime=lambda: 1.0)) as history:
        history.watch(hub)
        hub.after_step()
    assert caplog.text.count("can't be written") == 1
