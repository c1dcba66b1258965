"""Fault tests: the fixtures `trial` and `seed`, their marks and options, and the table at the end of a run.

Options: `--faults=long` tries as often as `make faults` does, `--fault-seeds=N` as often as N says,
`--fault-report=FILE` writes the table to a file too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.trial import INVARIANTS, KILL, Trial

PROPERTY = "fault trial"
SHORT, LONG = 1, 5
ROWS = {
    1: "kill -9 control plane",
    2: "kill -9 agent, supervisor, flow",
    3: "PostgreSQL killed, stopped, restarted",
    4: "failover that loses the tail",
    5: "agent stopped past its lease",
    6: "control plane or PostgreSQL stopped",
    7: "partition agent - control plane",
    8: "partition control plane - PostgreSQL",
    9: "loss, narrow link, delay",
    10: "duplicates, reordering, truncation",
    11: "half-open and idle connections",
    12: "disks full",
    13: "I/O errors at the N-th call",
    14: "power loss",
    15: "clocks",
    16: "readers that do not read",
    17: "poison",
    18: "old and new versions together",
    19: "connection storm",
    20: "old snapshot, locks, no connections",
    21: "projector killed, flip under load",
    22: "archive fails",
    23: "credentials end",
    24: "noisy tenant",
    25: "gRPC and HTTP fuzz",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=["short", "long"], default="short", help="how many trials")
    group.addoption("--fault-seeds", type=int, help="trials of each fault test, whatever it says")
    group.addoption("--fault-report", type=Path, help="where to write the table of trials too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(n): the row of faults that a test serves")
    config.addinivalue_line(
        "markers", "trials(short, long): how many seeds a fault test gets in either form; 0: none"
    )
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config.getoption("--fault-report")), "fault-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise `seed`: how many is said by the test's mark and by the options."""
    if "seed" in metafunc.fixturenames and "trial" in metafunc.fixturenames:
        count = _trials(metafunc.config, metafunc.definition)
        metafunc.parametrize("seed", range(max(count, 1)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no trials in the short form."""
    left_out = [
        item for item in items if item.get_closest_marker("trials") and not _trials(config, item)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _trials(config: pytest.Config, test: pytest.Item) -> int:
    mark = test.get_closest_marker("trials")
    short, long = mark.args if mark else (SHORT, LONG)
    asked = config.getoption("--fault-seeds")
    if asked is not None:
        return int(asked)
    return int(long if config.getoption("--faults") == "long" else short)


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    mark = request.node.get_closest_marker("row")
    assert mark is not None, "a fault test says which row it serves: @pytest.mark.row(n)"
    made = Trial(*mark.args)
    yield made
    request.node.user_properties.append((PROPERTY, made.as_json()))


@pytest.fixture
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether this is `make faults`: then a trial may strike more often."""
    return bool(pytestconfig.getoption("--faults") == "long")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """All verdicts of a trial are judged once its body is through."""
    result = yield
    made = getattr(item, "funcargs", {}).get("trial")
    if isinstance(made, Trial):
        made.conclude()
    return result


@dataclass
class Tally:
    """All trials of one row."""

    trials: int = 0
    failed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, told: dict[str, Any], *, failed: bool) -> None:
        self.trials += 1
        self.failed += failed
        self.faults.update(told["faults"])
        for name, violations in told["verdicts"].items():
            self.checked[name] += 1
            self.broken[name] += bool(violations)


class Report:
    """Gathers trials from the reports of all workers and prints them."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._failed: set[str] = set()
        self.rows: dict[int, Tally] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        if report.when != "teardown":
            return
        for name, told in report.user_properties:
            if name == PROPERTY and isinstance(told, dict):
                tally = self.rows.setdefault(told["row"], Tally())
                tally.add(told, failed=report.nodeid in self._failed)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.rows:
            return
        lines = render(self.rows)
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.line(line)
        if self._file is not None:
            self._file.write_text("\n".join(lines) + "\n")


def render(rows: dict[int, Tally]) -> list[str]:
    """The table, one block a row."""
    lines: list[str] = []
    for number, tally in sorted(rows.items()):
        told = f", {tally.failed} FAILED" if tally.failed else ""
        lines.append(f"row {number:>2}  {ROWS[number]}: {tally.trials} trials{told}")
        faults = ", ".join(f"{name} x{n}" for name, n in sorted(tally.faults.items())) or "NONE"
        lines.append(f"        happened: {faults}")
        lines += [f"        {line}" for line in _verdicts(tally)]
    kills = sum(n for t in rows.values() for name, n in t.faults.items() if name.startswith(KILL))
    trials = sum(tally.trials for tally in rows.values())
    failed = sum(tally.failed for tally in rows.values())
    lines.append(f"{trials} trials over {len(rows)} rows, {failed} failed; {kills} kills -9")
    return lines


def _verdicts(tally: Tally) -> list[str]:
    """What held in all its trials by name, then what did not."""
    order = {name: number for number, name in INVARIANTS.items()}
    names = sorted(tally.checked, key=lambda name: (order.get(name, 99), name))
    held = [f"{name} ({tally.checked[name]})" for name in names if not tally.broken[name]]
    wrong = [
        f"BROKEN: {name} in {tally.broken[name]} of {tally.checked[name]}"
        for name in names
        if tally.broken[name]
    ]
    return ([f"held: {', '.join(held)}"] if held else []) + wrong
