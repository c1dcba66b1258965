"""The lease history: a line for each change, and what is known to be fenced is not held."""

import json
from contextlib import suppress
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


class Disk:
    """In place of the file: takes so many bytes more, and says how many it took, as a nearly full disk does."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self.room = 0

    def write(self, data: bytes) -> int:
        taken = data[: self.room]
        if not taken:
            raise OSError(28, "No space left on device")
        self.room -= len(taken)
        return self._file.write(taken)

    def close(self) -> None:
        self._file.close()


def whole_lines(path: Path) -> list[dict]:
    """As readers do: what is no line is passed over."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


@pytest.mark.parametrize("room", [0, 1, 40])
def test_what_begins_and_ends_while_the_disk_is_full_is_told_when_there_is_room(tmp_path, room):
    now = [1.0]
    hub = SimpleNamespace(session=Session(Rules(slots=1)), reporting=Reporting(), after_step=None)
    path = tmp_path / "history"
    with LeaseHistory(path, "agent-1", SimpleNamespace(boottime=lambda: now[0])) as history:
        history._file.close()
        disk = history._file = Disk(path)
        disk.room = room
        history.watch(hub)
        lease = Lease(trusted_until=20.0)
        for at, running in ((2.0, {RUN}), (3.0, set())):
            now[0] = at
            hub.session = Session(Rules(slots=1), lease=lease, running=frozenset(running))
            hub.after_step()
        disk.room = 10_000
        now[0] = 4.0
        hub.after_step()
    assert [(each["at"], each["attempts"]) for each in whole_lines(path)] == [
        (1.0, []),
        (2.0, [["run", 1]]),
        (3.0, []),
    ]


def test_a_line_that_a_kill_has_torn_takes_no_other_with_it(tmp_path):
    path = tmp_path / "history"
    path.write_bytes(b'{"at": 1.0}\n{"at": 2.')
    hub = SimpleNamespace(session=Session(Rules(slots=1)), reporting=Reporting(), after_step=None)
    with LeaseHistory(path, "agent-1", SimpleNamespace(boottime=lambda: 3.0)) as history:
        history.watch(hub)
    assert [each["at"] for each in whole_lines(path)] == [1.0, 3.0]
