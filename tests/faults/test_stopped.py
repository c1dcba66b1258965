"""SIGSTOP and SIGCONT."""

import pytest

from support.load import load

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.row(1)
@pytest.mark.trials(1, 4)
def test_the_server_dies_under_load(headway, trial, seed):
    with load(headway, per_second=2.0, seconds=0.02) as work:
        for _ in range(2):
            work.until_more_marks(15)
            headway.part("server").kill()
            trial.happened("kill -9 server")
    work.drain()
    work.judge(trial)
