"""The tests are tested: each planted bug is caught by the test that is named for it.

A bug is planted in a copy of the sources, which the test then imports in place of the real ones.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutations.mutations import MUTATIONS

ROOT = Path(__file__).parents[2]
PACKAGES = ["proto", "sdk/src", "execution_agent/src", "control_plane/src"]
FAILED = (
    1  # pytest's exit code for tests that ran and failed; 2 to 5 say that it did not come to that
)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_planted_bug_is_caught(mutation, tmp_path):
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("*.egg-info"),
        )
    path = tmp_path / mutation.file
    text = path.read_text()
    for old, new in mutation.changes:
        assert text.count(old) == 1, f"{mutation.file} has changed: plant the bug anew"
        text = text.replace(old, new)
    path.write_text(text)

    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(tmp_path / package) for package in PACKAGES),
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", mutation.caught_by],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert ran.returncode == FAILED, (
        f"not caught by {mutation.caught_by}:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}"
    )


def test_the_table_names_every_planted_bug():
    table = Path(__file__).with_name("README.md").read_text()
    for mutation in MUTATIONS:
        assert f"| {mutation.name} |" in table
        assert f"`{mutation.caught_by.removeprefix('tests/')}`" in table
