"""PostgreSQL told to end, gently or at once, under load: what was acknowledged stands, what was ambiguous is there once."""

import random
import signal

import pytest

from support.load import load
from support.processes import wait_gone

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
WAYS = {
    "immediate stop": signal.SIGQUIT,  # no checkpoint: it recovers from its own log
    "fast restart": signal.SIGINT,  # open transactions are rolled back
}


@pytest.mark.row(3)
@pytest.mark.trials(1, 3)
@pytest.mark.parametrize("way", WAYS)
def test_postgresql_is_stopped_under_load(headway, trial, thorough, way, seed):
    rng = random.Random(f"{way}-{seed}")
    with load(headway, per_second=2.0, subscribers=2, seconds=0.03) as work:
        for _ in range(2 if thorough else 1):
            work.until_more_marks(rng.randrange(1, 30))
            postmaster = headway.part("postgres")
            postmaster.send_signal(WAYS[way])
            wait_gone(postmaster.pid)
            trial.happened(f"PostgreSQL: {way}")
            work.until_more_marks(3)
    work.drain()
    work.judge(trial)
    trial.holds("an outage of ours repeats nothing of theirs", work.repeated())
