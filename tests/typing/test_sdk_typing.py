"""What type checkers say about users' code is part of the SDK's interface."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLE = HERE / "examples" / "sdk_usage.py"
_EXPECTED = re.compile(r"# says: (.+)$")


def expected(path: Path) -> dict[int, str]:
    """Line number -> what the checker has to say there."""
    lines = enumerate(path.read_text().splitlines(), start=1)
    return {number: found[1] for number, line in lines if (found := _EXPECTED.search(line))}


@pytest.mark.process
@pytest.mark.slow
def test_mypy_infers_what_the_examples_say(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--no-error-summary",
    ]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path), str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    said: dict[int, str] = {}
    for line in done.stdout.splitlines():
        found = re.match(r"[^:]+:(\d+): (?:error|note): (.*)", line)
        if found and "note: " not in found[2]:
            said.setdefault(int(found[1]), found[2])
    wanted = expected(EXAMPLE)
    assert said.keys() == wanted.keys(), done.stdout + done.stderr
    for number, text in wanted.items():
        assert text in said[number], f"line {number}: {said[number]}"
