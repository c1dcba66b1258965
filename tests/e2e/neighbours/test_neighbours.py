"""The SDK's wheel in one environment with its users' packages: nothing conflicts, nothing slows its import, and flows run there.

`make neighbours` installs the most used data packages, about a gigabyte. The light form installs other majors of what Headway's other
parts need, and runs with all tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.stack import Stack, stack

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
UV = Path(sys.executable).with_name("uv")
ALL = os.environ.get("HEADWAY_TEST_NEIGHBOURS") == "all"
# Repeated, for the first import writes the bytecode, and one alone says little.
LOADED = """
import json, statistics, subprocess, sys, time
def took(code):
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begun) * 1000
more = [took("import headway") - took("pass") for _ in range(11)]
before = set(sys.modules)
import headway
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"ms": statistics.median(more), "loaded": sorted(loaded - set(sys.stdlib_module_names))}))
"""

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("wheels"),
]


def run(*words: object) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT / "sdk")
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def headway(tmp_path_factory):
    with stack(tmp_path_factory.mktemp("h"), root=HERE / "flows") as running:
        yield running


def installed(folder: Path, *words: object) -> Path:
    """A Python with these."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, *words)
    run(UV, "pip", "check", "--python", python)
    return python


EXPECTED = {
    "few": "mean: 2.5\n",
    "all": [328350, 3.0, [45, 4950, 499500, 49995000], True, "3 click rich"],
}


@pytest.mark.parametrize(
    ("form", "reading"),
    [
        ("few", {"sensor": "s", "values": [1, 4]}),
        pytest.param(
            "all",
            {"rows": 100},
            marks=pytest.mark.skipif(not ALL, reason="a gigabyte of packages: make neighbours"),
        ),
    ],
)
def test_flows_run_beside(headway: Stack, wheel: Path, tmp_path: Path, form: str, reading: object):
    alone = json.loads(run(installed(tmp_path / "alone", wheel), "-c", LOADED))
    python = installed(tmp_path / form, wheel, "-r", HERE / f"{form}.txt")
    beside = json.loads(run(python, "-c", LOADED))
    assert beside["loaded"] == alone["loaded"] == ["headway"]
    packages = run(UV, "pip", "list", "--quiet", "--python", python).splitlines()[2:]
    print(f"{len(packages)} packages; import headway takes {alone['ms']:.0f} ms alone, {beside['ms']:.0f} ms beside them")  # fmt: skip

    headway.deploy(
        f"{form}:beside", form, "--python", str(python), "--environment", form, root=HERE / "flows"
    )
    done = headway.headway("run", form, "-p", f"reading={json.dumps(reading)}", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    [shown] = headway.api("GET", f"/runs?deployment={form}")["items"]
    ended = headway.ended(shown["id"], seconds=600)
    assert json.loads(ended["result"]["preview"]) == EXPECTED[form], ended
