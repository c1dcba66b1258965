"""The benchmarks run to their end at small sizes and say what they promise. No figure is judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = [
    "import", "latency", "calls", "maps", "children", "sdk", "throughput", "idle", "events", "lists",
    "stored", "flush", "workspaces", "subscribers", "streams",
]  # fmt: skip


@pytest.mark.process
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    figures = _run(tmp_path, name)[name]
    assert figures
    assert any(figure["goal"] is not None for figure in figures)
    assert all(figure["value"] >= 0 for figure in figures)


def test_the_list_names_them_all() -> None:
    done = _python("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == NAMES


def test_an_unknown_name_is_told() -> None:
    done = _python("nothing", check=False)
    assert done.returncode == 2
    assert "no such benchmark: nothing" in done.stderr


def _run(folder: Path, *names: str) -> dict[str, list[dict]]:
    file = folder / "figures.json"
    _python("--quick", "--json", str(file), *names)
    return json.loads(file.read_text())["figures"]


def _python(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.run", *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(("HEADWAY_", "PYTEST_"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
