"""What `headway deploy` learns of a flow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headway.introspect import code_hash
from support.flow_process import Project


def introspect(entrypoint: str, root: Path) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "headway.introspect", entrypoint, "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.sep,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_flow_is_described(project: Project):
    project.write(
        """
print("at import")

@flow(name="daily", tags=["b", "a"], retries=3, retry_delay=[1, 2.5], on_lost="hold", cancel_grace=90)
def main(n: int, label: str = "x"):
    \"\"\"Does it daily.\"\"\"
"""
    )
    code, told, err = introspect("flows:main", project.root)
    assert code == 0, (told, err)
    assert "at import" in err
    assert told.pop("code_hash") == code_hash("flows:main", str(project.root))
    assert told.pop("python").count(".") == 2
    assert told == {
        "entrypoint": "flows:main",
        "flow": "daily",
        "version": "",
        "description": "Does it daily.",
        "tags": ["a", "b"],
        "retries": 3,
        "retry_delay_s": [1.0, 2.5],
        "on_lost": "hold",
        "cancel_grace_s": 90.0,
        "isolation": "process",
        "max_runs_per_process": None,
        "max_memory_mb": None,
        "parameter_schema": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "label": {"type": "string", "default": "x"}},
            "required": ["n"],
            "additionalProperties": False,
        },
        "parameter_defaults": {"label": "x"},
        "sdk": "0.1.0",
    }


@pytest.mark.parametrize(
    ("source", "entrypoint", "name"),
    [
        ("", "flows:main", "headway.EntrypointNotFound"),
        ("", "other:main", "headway.EntrypointNotFound"),
        ("main = 1", "flows:main", "headway.NotAFlow"),
        ("1 / 0", "flows:main", "ZeroDivisionError"),
        ("import sys; sys.exit(9)", "flows:main", "SystemExit"),
    ],
)
def test_errors_are_json_too(project: Project, source: str, entrypoint: str, name: str):
    project.write(source)
    code, told, _ = introspect(entrypoint, project.root)
    assert code == 2
    assert told["error"]["class"] == name


def test_the_code_hash_covers_the_package_and_nothing_else(tmp_path: Path):
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return code_hash("pack.deep.flows:main", str(tmp_path))

    first = write("pack/deep/flows.py", "a")
    assert write("pack/data.txt", "x") == first
    assert write("elsewhere.py", "x") == first
    changed = write("pack/other.py", "a")
    assert changed != first
    assert write("pack/other.py", "b") != changed
    (tmp_path / "pack/other.py").unlink()
    assert code_hash("pack.deep.flows:main", str(tmp_path)) == first
    (tmp_path / "single.py").write_text("a")
    single = code_hash("single:main", str(tmp_path))
    (tmp_path / "single.py").write_text("b")
    assert code_hash("single:main", str(tmp_path)) != single
