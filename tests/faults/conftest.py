"""One Headway for each worker's fault tests: starting it takes longer than a trial."""

import pytest

from support.pair import pair_of_agents
from support.stack import stack


@pytest.fixture(scope="session")
def headway(tmp_path_factory):
    home = tmp_path_factory.mktemp("h")
    with stack(home, HEADWAY_AGENT_ALLOW_FAULTS=str(home / "fault")) as running:
        running.deploy("effects:many_steps", "many-steps")
        running.deploy("effects:one_step", "one-step")
        running.deploy("effects:waits_for", "waits-for")
        yield running


@pytest.fixture(scope="session")
def two_agents(tmp_path_factory):
    with pair_of_agents(tmp_path_factory.mktemp("h"), tmp_path_factory.mktemp("agents")) as pair:
        yield pair


@pytest.fixture
def pair(two_agents):
    """Two agents on one pool; what a failed test left undone is undone."""
    yield two_agents
    two_agents.heal()
