"""kill -9, at seeded moments, of everything that runs, under load: each time all runs complete and execute what the rules predict.

What died is restarted by `headway up`; nobody touches anything else.
"""

import random

import pytest

from support.load import load
from support.strikes import strike

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(400)]

OURS = {"server", "agent", "PostgreSQL", "PostgreSQL and its backends"}
# In this order, because `headway up` waits the longer, the more often one of its parts has died within half a minute.
TARGETS = [
    pytest.param("agent", marks=pytest.mark.row(2)),
    pytest.param("PostgreSQL", marks=pytest.mark.row(3)),
    pytest.param("flow", marks=pytest.mark.row(2)),
    pytest.param("server", marks=pytest.mark.row(1)),
    pytest.param("agent and its child", marks=pytest.mark.row(2)),
    pytest.param("supervisor", marks=pytest.mark.row(2)),
    pytest.param("PostgreSQL and its backends", marks=pytest.mark.row(3)),
]


@pytest.mark.trials(1, 5)
@pytest.mark.parametrize("target", TARGETS)
def test_runs_survive_the_death_of_anything(headway, trial, thorough, target, seed):
    rng = random.Random(f"{target}-{seed}")
    with load(headway, per_second=2.0, seconds=0.03) as work:
        for _ in range(3 if thorough else 1):
            # 1: mostly before user code begins. More: among bodies, frames and acknowledgements.
            work.until_more_marks(rng.choice([1, 1, 5, 20, 40]))
            strike(headway, work, trial, target, rng)
        work.until_more_marks()
    work.drain()
    work.judge(trial)
    trial.holds("the exit status is not lost", without_exit_status(headway, work))
    if target in OURS:
        trial.holds("an outage of ours repeats nothing of theirs", work.repeated())


def without_exit_status(headway, work):
    """Attempts whose files or whose rows do not say how they ended. One that was lost before its agent noted it left nothing."""
    for run in work.runs:
        shown = headway.api.patiently("GET", f"/runs/{run}/attempts")["attempts"]
        for attempt in shown:
            frames = headway.frames(run, attempt["number"])
            last = frames[-1] if frames else None
            is_lost = attempt["outcome"] == "lost"
            told = f"attempt {run}/{attempt['number']} ({attempt['outcome']})"
            if last is None and not is_lost:
                yield f"{told}: there is no file"
            elif last is not None and last["type"] != "attempt.exited":
                yield f"{told}: its file ends with {last['type']}"
            elif last is not None and not is_lost and last["outcome"] != attempt["outcome"]:
                yield f"{told}: its file says {last['outcome']}"
