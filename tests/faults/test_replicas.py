"""Two control planes on one database: the owner of the shards is killed, or both are restarted in turn, under load."""

import random
from datetime import timedelta

import pytest

from support.eventually import eventually
from support.load import load
from support.replicas import LEASE, replicas

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
# What a survivor may take beyond the dead owner's lease: a few looks at the table, on a machine with much else to do.
GRACE = timedelta(seconds=10)


@pytest.fixture(scope="module")
def two_servers(tmp_path_factory):
    with replicas(tmp_path_factory.mktemp("h"), tmp_path_factory.mktemp("servers")) as rig:
        yield rig


@pytest.fixture
def rig(two_servers):
    yield two_servers
    two_servers.heal()


@pytest.mark.row(1)
@pytest.mark.trials(1, 4)
def test_the_owner_of_the_shards_dies(rig, trial, thorough, seed):
    rng = random.Random(f"owner-{seed}")
    with load(rig, per_second=1.0, subscribers=2, seconds=0.05) as work:
        for _ in range(3 if thorough else 1):
            work.until_more_marks(rng.randrange(1, 40))
            owner = rig.owner()
            owner.kill()
            left = rig.ownership()
            trial.happened("kill -9 server that owned the shard")
            trial.holds("takeover within TTL and grace", takeover(rig, left))
            work.until_more_marks(5)
            owner.start()
        work.drain()
    work.judge(trial)
    trial.holds("an outage of ours repeats nothing of theirs", work.repeated())


def takeover(rig, left):
    """What is wrong with how the shard changed hands, by the database's clock and the shard's epoch alone."""
    if left is None:
        return ["nobody owned the shard when its owner was killed"]

    def taken():
        now = rig.ownership()
        return now if now is not None and now.address != left.address else None

    new = eventually(taken, what="another server takes the shard")
    found = []
    if new.now < left.expires_at:
        found.append(f"taken at {new.now}, before the lease ended at {left.expires_at}")
    if new.now > left.now + timedelta(seconds=LEASE) + GRACE:
        found.append(f"taken as late as {new.now}; the owner was killed at {left.now}")
    if new.epoch <= left.epoch:
        found.append(f"the shard's epoch went from {left.epoch} to {new.epoch}")
    return found


@pytest.mark.row(1)
@pytest.mark.trials(0, 2)
def test_a_rolling_restart(rig, trial, seed):
    with load(rig, per_second=1.0, subscribers=2, seconds=0.05) as work:
        for server in rig.servers:
            work.until_more_marks(10)
            trial.holds("a server that is told to end does", not_zero(server.terminate()))
            trial.happened("server restarted in turn")
            work.until_more_marks(5)
            server.start()
        work.until_more_marks(5)
        work.drain()
    work.judge(trial)
    trial.holds("an outage of ours repeats nothing of theirs", work.repeated())


def not_zero(code):
    return [f"exit code {code}"] if code else []
