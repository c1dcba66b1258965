"""What `import headway` brings with it: little, and nothing of others."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import headway

_COUNT = """
import json, sys
before = set(sys.modules)
import headway
print(json.dumps(sorted(set(sys.modules) - before)))
"""
HEAVY = {
    "asyncio",
    "inspect",
    "logging",
    "concurrent.futures",
    "dataclasses",
    "json",
    "datetime",
    "headway.runtime",
}


def imported() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], capture_output=True, check=True, text=True
    )
    return set(json.loads(done.stdout))


def test_the_import_is_light():
    modules = imported()
    assert len(modules) < 60, sorted(modules)
    assert not modules & HEAVY


def test_nothing_third_party_is_imported():
    tops = {name.partition(".")[0] for name in imported()}
    assert tops - {"headway"} <= sys.stdlib_module_names


def test_the_public_names_are_there_and_documented():
    for name in headway.__all__:
        public = getattr(headway, name)
        assert name == "__version__" or public.__doc__, name


def test_the_version_is_the_distributions():
    project = Path(__file__).parents[3] / "sdk" / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == headway.__version__
