"""One Headway for all examples: starting it takes longer than they do."""

from pathlib import Path

import pytest

from support.stack import Stack, stack

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="session")
def headway(tmp_path_factory):
    with stack(tmp_path_factory.mktemp("x"), root=EXAMPLES) as running:
        yield running


@pytest.fixture(scope="session")
def deployed(headway: Stack) -> Stack:
    """As the READMEs say it."""
    for entrypoint, name in {
        "etl_duckdb/flow.py:load_zones": "zones",
        "approval/flow.py:free_space": "free-space",
        "partial_failure/flow.py:survey": "survey",
        "many_files/flow.py:fingerprint": "fingerprint",
        "training/flow.py:train": "train",
    }.items():
        done = headway.headway("deploy", entrypoint, "--name", name, cwd=EXAMPLES)
        assert done.returncode == 0, done.stderr + done.stdout
    return headway
