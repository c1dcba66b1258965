"""The kill matrix: who dies (flow process, worker, supervisor, agent, two of them) by where it happens, on a flow with one call of each kind.

The points are counted by progress: the n-th mark, hook or frame of a run, or the n-th sync of its file. What is executed must be what
`support/predicted.py` predicts from the attempts' files, which it reads by itself.
"""

import json
import random
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import effects, predicted, second_reader
from support.agent_rig import AgentRig
from support.hand_agent import hand_agent, make_pool
from support.load import load
from support.trial import KILL

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(400)]

VICTIMS = [
    ["flow"], ["supervisor"], ["worker"], ["agent"], ["flow", "supervisor"], ["agent", "flow"],
    ["agent", "supervisor"], ["flow", "worker"], ["supervisor", "worker"], ["agent", "worker"],
]  # fmt: skip
PLACES = {
    # where it happens, which marks are counted, how many of them an undisturbed run has
    "at a mark": ("before", "after", "", 60),
    "in a hook": ("before", "after", "hook", 5),
    "at a step": ("before", "after", "step", 5),
    "in a worker": ("before", "after", "worker", 6),  # the last two run at once
    "at a frame": ("frame before", "frame after", "", 75),
}
WHATS = {
    **{f"step-{n}": 1 for n in (*range(6), *range(100, 103), *range(200, 203))},
    **{f"sure-{n}": 1 for n in range(3)},
    **{f"quick-{n}": 2 for n in range(10)},
    **{f"flaky-{n}": 1 for n in range(2)},
    **{f"breath-{n}": n + 1 for n in range(3)},
    **{f"grind-{n}": 1 for n in range(4)},
    "add": 2,
}
FLOW = predicted.Flow(
    WHATS,
    "below-",
    {"write-a": True, "write-x": False},
    {"sure-0": "sure-1", "sure-1": "sure-2", "sure-2": "quick-0"},
    at_once=6,
)
EXPECTED = {
    *WHATS, "flow", "caught", *(f"below-{n}" for n in range(4)), *(f"write-{w}" for w in "abcxy"),
    *(f"commit-{w}" for w in "abc"), *(f"undo-{w}" for w in "xy"),
}  # fmt: skip
SQUARES = sum(n * n for n in (*range(6), *range(100, 103), *range(200, 203)))
RESULT = str(SQUARES + sum(range(3)) + 2 * sum(range(10)) + 1 + 8 + 2 * sum(range(4)))


class Keeper(threading.Thread):
    """Starts the agent again whenever it was killed, and keeps its pid where the flows look for it."""

    def __init__(self, agent, pid_file):
        super().__init__(name="keeper", daemon=True)
        self.deaths = 0
        self._agent, self._pid_file = agent, pid_file
        self._over = threading.Event()
        self._note()

    def _note(self):
        unnamed = self._pid_file.with_suffix(".new")
        unnamed.write_text(str(self._agent.process.pid))
        unnamed.replace(self._pid_file)

    def run(self):
        while not self._over.wait(0.02):
            if self._agent.process.poll() is not None:
                self.deaths += 1
                self._agent.launch()
                self._note()

    def stop(self):
        self._over.set()
        self.join(30)


@pytest.fixture(scope="module")
def rig(headway, tmp_path_factory):
    make_pool(headway, "matrix")
    headway.deploy("matrix:matrix", "matrix", "--pool", "matrix")
    headway.deploy("async_matrix:matrix", "async-matrix", "--pool", "matrix")
    headway.deploy("matrix:matrix", "kept-matrix", "--pool", "matrix", "--isolation", "reuse")
    folder = tmp_path_factory.mktemp("matrix")
    with hand_agent(
        headway, "matrix", folder, "--allow-faults", str(folder / "fault"), slots=6
    ) as agent:
        keeper = Keeper(agent, folder / "agent.pid")
        keeper.start()
        try:
            yield AgentRig(headway, agent), keeper, folder
        finally:
            keeper.stop()


def point(rng, victims):
    """A place for these victims."""
    choices = ["in a worker"] if "worker" in victims else [p for p in PLACES if p != "in a worker"]
    where = rng.choice(choices)
    before, after, kind, most = PLACES[where]
    at = rng.choice([before, after])
    return where, {"at": at, "kind": kind, "n": rng.randint(1, most), "victims": victims}


@contextmanager
def fault_beside_a_sync(folder, rng):
    """For the next attempt that begins: its supervisor dies on either side of a sync of the file."""
    fault = {"at": rng.choice(["before_commit", "after_commit"]), "n": rng.randint(1, 20)}
    (folder / "fault").write_text(json.dumps(fault))
    yield
    assert not (folder / "fault").exists(), "no attempt has taken the fault"


@pytest.mark.row(2)
@pytest.mark.trials(1, 12)
@pytest.mark.parametrize("deployment", ["matrix", "async-matrix", "kept-matrix"])
def test_executed_is_what_the_rules_predict(rig, trial, deployment, seed):
    headway, keeper, folder = rig
    rng = random.Random(f"{deployment}-{seed}")
    planned = []
    before = keeper.deaths
    with load(headway, most=0) as work, fault_beside_a_sync(folder, rng):
        for victims in [[], *VICTIMS]:  # the first is for the fault
            where, strike = point(rng, victims) if victims else ("beside a sync", None)
            plan = [strike] if strike else []
            if plan and rng.random() < 0.3:
                plan.append(point(rng, rng.choice(VICTIMS))[1])
            each = work.start(
                deployment,
                expected=EXPECTED,
                result=RESULT,
                plan=plan,
                agent=str(folder / "agent.pid"),
            )
            planned.append((each, where, plan))
    work.drain(seconds=240)
    for each, where, plan in planned:
        attempts = second_reader.attempts(headway.run_directories(each.run))
        landed = list(strikes(each.file, plan))
        trial.holds("each strike lands", not_landed(where, plan, landed, attempts))
        for victims, where_to in [
            (v, where if n == 0 else "a second time") for n, v, _ in landed if v
        ]:
            trial.happened(f"{KILL}{' and '.join(victims)} {where_to}")
        if not plan and any(a.exit.get("cause") == "supervisor lost" for a in attempts):
            trial.happened(f"{KILL}supervisor {where}")
        found = predicted.violations(FLOW, effects.marks(each.file), attempts)
        told = f"run {each.run}, killed {where}: {plan}: "
        trial.holds("executed == predicted", [told + violation for violation in found])
    struck = sum("agent" in v for each, _, plan in planned for _, v, _ in strikes(each.file, plan))
    died = keeper.deaths - before
    trial.holds("each strike lands", [f"{died} agents died of {struck}"] if died != struck else [])
    work.judge(trial)


def strikes(file, plan):
    """What landed: the number of the strike, whom it hit, and in which attempt."""
    for number, strike in enumerate(plan):
        told = Path(f"{file}.struck.{number}")
        if told.exists():
            # Whoever claimed the strike may have died of another one before it struck.
            text = told.read_text()
            yield (
                number,
                strike["victims"] if text else [],
                json.loads(text)["fence"] if text else 0,
            )


def not_landed(where, plan, landed, attempts):
    """Strikes of which nothing can be seen. Of two that hit one attempt, either may have been its end."""
    by_fence = {attempt.fence: attempt for attempt in attempts}
    fences = [fence for _, _, fence in landed]
    if plan and 0 not in [number for number, _, _ in landed]:
        yield f"nothing happened {where}: {plan[0]}"
    for _, victims, fence in landed:
        if fences.count(fence) > 1 or not victims:
            continue
        attempt = by_fence[fence]
        cause = attempt.exit.get("cause")
        errors = [e for tries in attempt.retried.values() for e in tries.values()]
        wanted = "supervisor lost" if "supervisor" in victims else "signal"
        if {"supervisor", "flow"} & set(victims):
            if cause != wanted:
                yield f"{victims} {where} in attempt {fence}, which ended by {cause!r}"
        elif "worker" in victims and predicted.WORKER_DIED not in errors:
            yield f"{victims} {where} in attempt {fence}: no call tells of a worker that died"
