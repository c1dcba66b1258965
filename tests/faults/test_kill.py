"""kill -9, at seeded points, of everything that runs: each time the run completes and executes what the rules predict.

What died is restarted by `headway up`; nobody touches anything else. A task body leaves one mark each time it runs; the rules say which
bodies may run again: those whose completion was in no earlier attempt's `frames.log`.
"""

import random
from contextlib import suppress

import psutil
import pytest

from support.effects import MANY_STEPS, marks, violations
from support.eventually import eventually

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]

TARGETS = ["agent", "supervisor", "flow", "server", "postgres"]
RESULT = (
    sum(n * n for n in range(12))
    + 0
    + 1
    + sum((100 + n) ** 2 for n in range(3))
    + sum((200 + n) ** 2 for n in range(6))
)


def victim(headway, target, run) -> psutil.Process | None:
    if target in {"agent", "server", "postgres"}:
        return headway.part(target)
    fence = max(headway.run_directories(run), default=0)
    find = headway.supervisor if target == "supervisor" else headway.flow_process
    return find(run, fence)


@pytest.mark.row(1)
@pytest.mark.trials(5, 25)
def test_a_run_survives_the_death_of_anything(headway, tmp_path, trial, seed):
    rng = random.Random(seed)
    target = TARGETS[seed % len(TARGETS)]
    after = rng.randrange(
        0, 26
    )  # marks in the file when the blow falls; 0: before user code begins
    file = tmp_path / "marks"
    run = headway.start_run("many-steps", path=str(file), seconds=0.03)

    eventually(lambda: len(marks(file)) >= after)
    struck = victim(headway, target, run)
    if struck is not None:
        with suppress(psutil.NoSuchProcess):
            struck.kill()
            trial.happened(f"kill -9 {target}")

    ended = headway.ended(run)
    assert ended["state"] == "completed", ended
    assert violations(file, headway.run_directories(run), MANY_STEPS) == []
    assert ended["result"]["preview"] == str(RESULT)
    assert headway.violations() == []
    if target in {"agent", "server", "postgres"}:
        assert struck is not None, "the fault must have happened"
        assert ended["attempt"] == 1, "an outage of ours repeats nothing of theirs"
