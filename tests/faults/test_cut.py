"""An agent out of reach behind a relay: for less than `reassign_after` nothing changes hands; beyond it another agent gets the run, once.

The relay needs no rights, so these tests run everywhere; the same with a firewall in a network of our own is in `test_network*.py`.
"""

from collections import Counter

import psutil
import pytest

from headway.runtime.frames_log import read
from support import holders
from support.effects import marks
from support.eventually import eventually
from support.load import load
from support.pair import LEASE_TTL
from support.processes import wait_gone
from support.strikes import outlast, stopped

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


def begun(pair, work, deployment, **parameters):
    """A run of whose attempt the first agent executes user code."""
    each = work.start(deployment, **parameters)
    eventually(lambda: marks(each.file), what="the flow has begun")
    assert pair.first.run_directories(each.run)
    return each


def shown(pair, run):
    return pair.api.patiently("GET", f"/runs/{run}")


def attempts(pair, run):
    return pair.api.patiently("GET", f"/runs/{run}/attempts")["attempts"]


def until_disconnected(pair, run):
    def is_disconnected():
        found = shown(pair, run)
        assert (found["state"], found["attempt"]) == ("running", 1)
        return found["reason"] == "disconnected"

    eventually(is_disconnected, what="the API says disconnected")


def facts(pair, run):
    """What the log holds of attempt 1."""
    events = pair.api.patiently("GET", f"/events?stream=attempt/{run}/1&limit=500")["items"]
    return Counter(event["type"] for event in events)


def untouched(pair, each):
    """What contradicts that the run ended in its first attempt, as if nothing had happened."""
    ended = shown(pair, each.run)
    if (ended["state"], ended["attempt"]) != ("completed", 1):
        yield f"run {each.run} is {ended['state']} in attempt {ended['attempt']}"
    if pair.second.run_directories(each.run):
        yield f"run {each.run} was also on the second agent"
    wanted = Counter(
        "".join(word.title() for word in frame["type"].split("."))
        for _, frame in read(pair.first.run_directories(each.run)[1] / "frames.log")
    )
    if facts(pair, each.run) != wanted:
        yield f"run {each.run}: the log holds {facts(pair, each.run)}, the file {wanted}"


@pytest.mark.row(7)
@pytest.mark.trials(0, 1)
def test_a_cut_of_three_leases_changes_nothing(pair, trial):
    with load(pair, per_second=0.5, seconds=0.2) as work:
        each = begun(pair, work, "many-steps", seconds=0.2)
        with pair.idle_second():
            pair.proxy.cut()
            until_disconnected(pair, each.run)
            outlast(2 * LEASE_TTL)
            trial.happened("cut past the lease")
            pair.proxy.mend()
            work.drain()
    work.judge(trial)
    trial.holds("nothing is repeated", untouched(pair, each))


def out_of_reach(pair, how):
    """The first agent says nothing and hears nothing: its connection is cut, or it is stopped. Returns how to bring it back."""
    if how == "cut":
        pair.proxy.cut()
        return pair.proxy.mend
    block = stopped(psutil.Process(pair.first.process.pid))
    block.__enter__()
    return lambda: block.__exit__(None, None, None)


@pytest.mark.trials(1, 3)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param("cut", marks=pytest.mark.row(7)),
        pytest.param("stopped", marks=pytest.mark.row(5)),
    ],
)
def test_beyond_reassign_after_another_agent_takes_over(pair, tmp_path, trial, how, seed):
    """Two runs: the flow of one ends meanwhile, and its facts come too late; that of the other is stopped afterwards."""
    gates = {name: tmp_path / f"gate-{name}" for name in ("late", "stopped")}

    def open_gate(name, attempt):
        gates[name].with_name(f"{gates[name].name}.{attempt}").touch()

    with load(pair, per_second=0.5, seconds=0.05) as work:
        runs = {
            name: begun(pair, work, "waits-for-its-own", expected={"flow"}, gate=str(gate))
            for name, gate in gates.items()
        }
        with pair.idle_second():
            bring_back = out_of_reach(pair, how)
            try:
                open_gate("late", 1)
                for each in runs.values():
                    eventually(
                        lambda e=each: {m.fence for m in marks(e.file)} == {1, 2},
                        what="the second agent executes it",
                    )
                trial.happened(f"{how} past reassign_after", times=len(runs))
                open_gate("late", 2)
                late = pair.headway.ended(runs["late"].run)
            finally:
                bring_back()
            trial.holds("late facts are kept apart", late_facts(pair, runs["late"].run))
            trial.holds("the fenced flow is ended", until_ended(pair, runs["stopped"].run))
            open_gate("stopped", 2)
            work.drain()
    work.judge(trial)
    trial.holds("late facts change nothing", changed(pair, late))
    trial.holds("the second attempt counts", not_second(pair, runs.values()))
    trial.holds("both agents told of holding it", not_handed_over(work, runs.values()))


def late_facts(pair, run):
    def told():
        found = pair.api.patiently("GET", f"/runs/{run}/late-facts")
        return found and found[-1]["type"] == "AttemptExited" and found

    found = eventually(told, what="the late facts have come")
    return [fact for fact in found if fact["attempt"] != 1]


def until_ended(pair, run):
    """Every process that the first attempt told of is gone."""
    directory = pair.first.run_directories(run)[1]
    for pid in {frame["pid"] for _, frame in read(directory / "frames.log") if "pid" in frame}:
        wait_gone(pid)
    return []


def changed(pair, ended):
    now = shown(pair, ended["id"])
    return [
        f"{key} was {value!r} and is {now[key]!r}"
        for key, value in ended.items()
        if key != "cursor" and now[key] != value
    ]


def not_second(pair, runs):
    for each in runs:
        ended = shown(pair, each.run)
        if ended["result"]["preview"] != '"opened in attempt 2"':
            yield f"run {each.run} ended with {ended['result']}"
        outcomes = [attempt["outcome"] for attempt in attempts(pair, each.run)]
        if outcomes != ["lost", "completed"]:
            yield f"run {each.run}: {outcomes}"


def not_handed_over(work, runs):
    """Runs of which not both agents' histories tell: about them, single holder would prove nothing."""
    told = [
        held for lines in holders.histories(work.agent_states()) for held in holders.held(lines)
    ]
    for each in runs:
        agents = {held.agent for held in told if held.run == each.run}
        if len(agents) != 2:
            yield f"run {each.run} was held by {agents}"


@pytest.mark.row(7)
@pytest.mark.trials(1, 3)
def test_connections_that_break_over_and_over(pair, trial, seed):
    with load(pair, per_second=0.5, seconds=0.05) as work:
        each = begun(pair, work, "many-steps", seconds=0.05)
        with pair.idle_second():
            for least in range(3, 18, 3):
                eventually(lambda n=least: len(marks(each.file)) >= n)
                pair.proxy.reset()
                trial.happened("connections reset")
            work.drain()
    work.judge(trial)
    trial.holds("nothing is repeated", [*untouched(pair, each), *work.repeated()])


@pytest.mark.row(11)
def test_a_half_open_connection_is_noticed(pair, tmp_path, trial):
    """What the agent says arrives, what the control plane says does not: the agent must not trust its lease for ever."""
    gate = tmp_path / "gate"
    with load(pair, per_second=0.5, seconds=0.05) as work:
        each = begun(pair, work, "waits-for", gate=str(gate))
        with pair.idle_second():
            before = len(pair.first.log_lines("does not answer"))
            pair.proxy.hold_down()
            eventually(lambda: len(pair.first.log_lines("does not answer")) > before)
            trial.happened("half-open connection given up")
            pair.proxy.reset()
            pair.proxy.mend()
            gate.touch()
            work.drain()
    work.judge(trial)
    trial.holds("nothing is repeated", untouched(pair, each))
