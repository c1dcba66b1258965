"""A standby is promoted that lacks what the primary had already confirmed. Whoever still has it gives it back; whoever reads is told."""

import signal

import pytest

from support.effects import marks
from support.eventually import eventually
from support.load import load
from support.processes import wait_gone
from support.stack import TERMINAL, Stack
from support.standby import ask, clusters

pytestmark = [
    pytest.mark.row(4),
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
HEAD = 'SELECT max("offset") FROM headway.workspace_head'


class OnClusters(Stack):
    """`headway up` on a database that it does not run itself."""

    @property
    def database_url(self):
        return self.environment["HEADWAY_DATABASE_URL"]


@pytest.fixture
def pair(tmp_path_factory, postgres_binaries):
    with clusters(tmp_path_factory.mktemp("p"), postgres_binaries) as made:
        yield made


@pytest.fixture
def headway(pair, tmp_path_factory):
    home = tmp_path_factory.mktemp("h")
    running = OnClusters(home, HEADWAY_DATABASE_URL=pair.url)
    try:
        running.deploy("effects:many_steps", "many-steps")
        running.deploy("effects:waits_for", "waits-for")
        yield running
    finally:
        running.process.send_signal(signal.SIGCONT)
        running.stop()


def answered(work):
    return work.started and all(each.run for each in work.started)


def ended_runs(headway, work):
    shown = (headway.api("GET", f"/runs/{run}") for run in work.runs)
    return sum(run["state"] in TERMINAL for run in shown)


@pytest.mark.trials(1, 4)
def test_a_standby_without_the_newest_events_is_promoted(headway, pair, tmp_path, trial, seed):
    with load(headway, per_second=4.0, seconds=0.03) as work:
        work.until_marks(30 + 20 * seed)
        work.stop()
        eventually(lambda: answered(work), what="all starts are answered")
        eventually(pair.has_all, what="the standby is up to date")
        ended = ended_runs(headway, work)
        pair.cut()
        # Its creation is lost, too: nobody but the caller remembers it.
        stranger = headway.start_run(
            "waits-for", path=str(tmp_path / "m"), gate=str(tmp_path / "g")
        )
        eventually(lambda: marks(tmp_path / "m"), what="the run that will be forgotten")
        process = eventually(
            lambda: headway.flow_process(stranger, 1), what="its process is told of"
        )
        eventually(lambda: ended_runs(headway, work) > ended, what="a run ends in the lost part")
        lost = fail_over(headway, pair)
        trial.happened("acknowledged events lost by a promotion", times=lost)
        done = headway.headway("log", "new-epoch", "--database-url", pair.standby.url())
        assert done.returncode == 0, done.stderr
        assert "epoch 2 begins" in done.stdout
        headway.process.send_signal(signal.SIGCONT)
        shown = work.drain()
        again = [run["id"] for run in shown.values() if run["attempt"] != 1]
        trial.holds("nothing is executed again", again)
        watcher = work.subscribers[0]
        eventually(lambda: watcher.resets, what="the subscriber is told to begin anew")
        wait_gone(process.pid)
        assert headway.api.answer("GET", f"/runs/{stranger}")[0] == 404
        work.judge(trial)


def fail_over(headway, pair):
    """Stop the control plane, lose the primary, promote; returns how many events are lost. `headway up` is stopped, or it would start it again."""
    headway.process.send_signal(signal.SIGSTOP)
    server = headway.part("server")
    server.kill()
    wait_gone(server.pid)
    (had,) = ask(pair.primary, HEAD)
    pair.lose_primary()
    pair.promote()
    (has,) = ask(pair.standby, HEAD)
    return had - has
