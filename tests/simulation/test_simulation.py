"""The simulation, as far as a test run has time for it: kept seeds, fixed seeds, and proof that faults happened and bugs are found."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulation.batches import simulate_all, trace
from simulation.faults import KINDS

pytestmark = pytest.mark.timeout(600)  # on a machine that does much else
HERE = Path(__file__).parent
SAFETY = [*range(48), 58, 92]  # two in which the rarest kinds come about
LIVENESS = range(100, 116)
HUNTS = {
    "no margin on the agent's lease": range(8),
    "no fence check in admission": range(16),
    "reassigned as soon as a session is lost": range(8),
    "no brake": range(16),
    "granted without the shard's epoch": range(16),
    "what Welcome says of lines is not written down": range(8),
    "a child that ends tells nobody": range(16),
    "who begins to wait does not ask who has ended": range(16),
    "a second answer counts": range(16),
    "a pause gives its slot back": range(16),
    "the sums take a range for one call": range(16),
    "a pause never hears its answer": range(16),
    "who moved is not told what it asked for": range(88, 104),
}
LIVENESS_HUNTS = {
    "what Welcome says of lines is not written down",
    "a pause never hears its answer",
}


def kept():
    lines = (HERE / "seeds.txt").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            seed, mode, found = line.split(maxsplit=2)
            yield pytest.param(int(seed), mode, id=f"{seed}-{found[:40]}")


def failures(outcomes):
    return [(o.seed, o.broken, *o.trace[-20:]) for o in outcomes if o.broken]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("seed", "mode"), [*kept()])
def test_a_kept_seed_stays_clean(seed, mode):
    assert failures(simulate_all([seed], mode)) == []


@pytest.mark.slow
@pytest.mark.process
def test_nothing_breaks_while_everything_goes_wrong():
    outcomes = list(simulate_all(SAFETY, "safety"))
    assert failures(outcomes) == []
    happened = Counter()
    for outcome in outcomes:
        happened.update(outcome.happened)
    assert [kind for kind in KINDS if not happened[kind]] == [], (
        "a fault that never happens tests nothing"
    )


@pytest.mark.slow
@pytest.mark.process
def test_everything_ends_once_nothing_goes_wrong_any_more():
    assert failures(simulate_all(LIVENESS, "liveness")) == []


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("bug", HUNTS)
def test_a_planted_bug_is_found(bug):
    mode = "liveness" if bug in LIVENESS_HUNTS else "safety"
    outcomes = simulate_all(HUNTS[bug], mode, bug=bug)
    found = next((outcome for outcome in outcomes if outcome.broken), None)
    outcomes.close()
    assert found is not None, f"{bug}: {len(HUNTS[bug])} seeds did not notice"


@pytest.mark.slow
@pytest.mark.process
def test_a_seed_tells_the_same_story_whatever_strings_hash_to():
    told = trace(3, "safety").trace
    here = hashlib.sha256(repr(told).encode()).hexdigest()
    code = (
        "import hashlib; from simulation.batches import trace; "
        "print(hashlib.sha256(repr(trace(3, 'safety').trace).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(HERE.parent)}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(told) > 50
    assert said.stdout.strip() == here
