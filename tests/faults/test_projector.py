"""The projector dies in the middle of its work, and what it made is made anew and switched, under load: what is shown is what the log tells."""

import random
import signal
import subprocess

import pytest

from support import verdicts
from support.eventually import eventually
from support.load import load
from support.processes import wait_gone
from support.stack import FLOWS, HEADWAY

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


def rebuild(headway):
    """`headway projections rebuild`, started."""
    return subprocess.Popen(
        [HEADWAY, "projections", "rebuild", "--database-url", headway.database_url],
        env=headway.environment,
        cwd=FLOWS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process):
    said, _ = process.communicate(timeout=120)
    return [] if process.returncode == 0 else [f"rebuild ended with {process.returncode}: {said}"]


def until_under_way(headway, process):
    """The rebuild folds into its new version, or it was faster than our look."""
    eventually(lambda: verdicts.has_shadow(headway.database_url) or process.poll() is not None)


def lag(headway, ws):
    return verdicts.head_offset(headway.database_url, ws) - verdicts.projection_offset(
        headway.database_url, ws
    )


@pytest.mark.row(21)
@pytest.mark.trials(1, 3)
def test_the_projector_dies_in_the_middle_of_its_work(headway, trial, thorough, seed):
    rng = random.Random(f"projector-{seed}")
    with load(headway, per_second=2.0, seconds=0.01) as work:
        work.until_more_marks(10)
        ws = verdicts.workspace_of(headway.database_url, work.runs[0])
        for _ in range(3 if thorough else 1):
            work.until_more_marks(rng.randrange(1, 20))
            server = headway.part("server")
            eventually(lambda: lag(headway, ws) > 0, what="the projection lies behind the log")
            server.kill()
            wait_gone(server.pid)
            # It may have caught up between our look and the blow.
            behind = lag(headway, ws) > 0
            trial.happened(f"kill -9 server{' with its projection behind' if behind else ''}")
            work.until_more_marks()
    work.drain()
    work.judge(trial)


@pytest.mark.row(21)
@pytest.mark.trials(1, 3)
def test_a_flip_under_load(headway, trial, thorough, seed):
    """Rebuilt while facts come in: once to its end, once killed, once with the server killed beside it."""
    with load(headway, per_second=2.0, seconds=0.01) as work:
        work.until_more_marks(10)
        before = verdicts.projection_version(headway.database_url)
        trial.holds("rebuild ends", ended(rebuild(headway)))
        assert verdicts.projection_version(headway.database_url) > before
        trial.happened("flip under load")
        if thorough:
            killed = rebuild(headway)
            until_under_way(headway, killed)
            killed.kill()
            killed.communicate()
            if killed.returncode == -signal.SIGKILL:
                trial.happened("kill -9 rebuild")
        beside = rebuild(headway)
        until_under_way(headway, beside)
        headway.part("server").kill()
        trial.happened("kill -9 server beside a rebuild")
        trial.holds("rebuild ends", ended(beside))
        work.until_more_marks(5)
    work.drain()
    work.judge(trial)
