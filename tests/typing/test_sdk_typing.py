"""What type checkers say about users' code is part of the SDK's interface: they infer what it says, and agree on what is wrong."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLE = HERE / "examples" / "sdk_usage.py"
# Pyright's code as a wheel, with the Node.js that it runs on: the wrapper called `pyright` fetches both on its first use, from
# another registry.
PYRIGHT = Path(sys.executable).with_name("basedpyright")


def wrong(path: Path) -> set[int]:
    """The lines that no checker may accept."""
    lines = enumerate(path.read_text().splitlines(), start=1)
    return {number for number, line in lines if line.endswith("# wrong")}


@pytest.mark.process
@pytest.mark.slow
def test_mypy_agrees(tmp_path: Path):
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, "--no-error-summary", "--cache-dir", str(tmp_path), str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    said = {
        int(found[1])
        for line in done.stdout.splitlines()
        if (found := re.match(r"[^:]+:(\d+): error: ", line))
    }
    assert said == wrong(EXAMPLE), done.stdout + done.stderr


@pytest.mark.process
@pytest.mark.slow
def test_pyright_agrees(tmp_path: Path):
    settings = {
        "include": [EXAMPLE.name],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "venvPath": str(Path(sys.prefix).parent),
        "venv": Path(sys.prefix).name,
        "extraPaths": [str(ROOT / "sdk" / "src")],
        # The lambdas of the example: that their parameters have no type is the reader's business.
        "reportUnknownLambdaType": False,
        "reportUnusedCoroutine": True,
    }
    shutil.copy(EXAMPLE, tmp_path)
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    done = subprocess.run(
        [PYRIGHT, "--project", str(config), "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = [
        each
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    ]
    said = {each["range"]["start"]["line"] + 1 for each in found}
    assert said == wrong(EXAMPLE), found
