"""headway.testing's fixtures, in a pytest of their own."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TESTS = """
from headway import flow, task

@task
def double(n: int) -> int:
    return 2 * n

@flow
def main(n: int) -> int:
    return double(n)

def test_harness(headway):
    assert headway.run(main, n=2).call("double").tries == 1
    headway.clock.advance(1)

def test_run(headway_run):
    assert headway_run(main, n=2).result() == 4

def test_neither():
    pass
"""


@pytest.mark.process
def test_the_fixtures_are_there(tmp_path: Path):
    (tmp_path / "test_flows.py").write_text(TESTS)
    # By name, and not by the entry point as well: an environment may have been made before there was one.
    command = ["-m", "pytest", "-q", "-p", "headway.testing.plugin", "-p", "no:headway"]
    done = subprocess.run(
        [sys.executable, *command, "test_flows.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.process
def test_the_plugin_loads_nothing_of_the_harness():
    code = "import sys, headway.testing.plugin; print([n for n in sys.modules if n.startswith('headway.') and n.split('.')[1] == 'runtime'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pytest_is_told_of_it():
    project = tomllib.loads((Path(__file__).parents[3] / "sdk" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"headway": "headway.testing.plugin"}
