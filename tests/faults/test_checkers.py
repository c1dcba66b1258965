"""The checkers themselves: each finds what it is there to find, and is content with what is right."""

import pytest

from support import holders, subscriber
from support.subscriber import Seen
from support.trial import Trial


def line(at, until, *attempts, agent="a"):
    return {"agent": agent, "at": at, "trusted_until": until, "attempts": attempts}


def test_one_holder_after_the_other():
    first = [line(0, 30, ("r", 1)), line(20, 50, ("r", 1)), line(25, 50)]
    second = [line(25, 55, ("r", 2), agent="b"), line(40, 70, agent="b")]
    assert holders.violations([first, second], ["r"]) == []


def test_an_agent_that_wrote_no_more_holds_until_its_trust_ends():
    first = [line(0, 30, ("r", 1))]
    assert holders.violations([first, [line(31, 60, ("r", 2), agent="b")]], ["r"]) == []
    (found,) = holders.violations([first, [line(29, 60, ("r", 2), agent="b")]], ["r"])
    assert "two holders" in found


def test_one_agent_may_not_hold_two_attempts_of_a_run():
    (found,) = holders.violations([[line(0, 30, ("r", 1), ("r", 2))]], ["r"])
    assert "two holders" in found


def test_without_trust_nobody_holds():
    lines = [line(0, None, ("r", 1)), line(5, 3, ("r", 1))]
    assert holders.violations([lines], []) == []
    (found,) = holders.violations([lines], ["r"])
    assert "held by nobody" in found


LOG = [Seen(f"1:{n}", f"id-{n}") for n in range(1, 6)]


@pytest.mark.parametrize(
    "seen",
    [
        LOG[1:],
        [LOG[0], LOG[0]],
        [LOG[0], LOG[2]],
        [*LOG, Seen("1:6", "id-6")],
        [*LOG[:2], Seen("1:3", "another")],
    ],
    ids=["no beginning", "twice", "a gap", "more than there is", "another history"],
)
def test_a_subscription_that_is_not_the_logs_beginning(seen):
    assert subscriber.violations(seen, LOG)


def test_a_subscription_that_is():
    assert subscriber.violations(LOG[:3], LOG) == []
    assert subscriber.violations(LOG, LOG) == []


def test_a_trial_fails_with_all_that_was_found():
    trial = Trial(1)
    trial.happened("kill -9 server")
    trial.holds("1 gapless", [])
    trial.conclude()
    trial.holds("2 durable", ["one", "two"])
    with pytest.raises(AssertionError, match=r"(?s)2 durable: one.*2 durable: two"):
        trial.conclude()


def test_a_trial_without_its_fault_is_vacuous():
    with pytest.raises(AssertionError, match="no fault has happened"):
        Trial(1).conclude()
