"""An agent out of reach: for less than `reassign_after` nothing changes hands; beyond it another agent gets the run, once.

Two agents serve one pool: `first` speaks through a proxy that the tests cut, `second` is there to take over.
"""

import signal
import threading
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from headway.runtime.frames_log import read
from support.effects import MANY_STEPS, marks, violations
from support.eventually import eventually
from support.hand_agent import HandAgent, hand_agent, make_pool
from support.processes import wait_gone
from support.proxy import Proxy
from support.stack import TERMINAL, stack

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("cut"),
]

TTL = 2.0
REASSIGN_AFTER = 8.0


def outlast(seconds):
    """The length of an outage is what these tests are about: there is nothing to wait for in its place."""
    threading.Event().wait(seconds)


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    terms = {
        "HEADWAY_LEASE_TTL": f"{TTL}",
        "HEADWAY_RENEW_INTERVAL": "0.5",
        "HEADWAY_RECONNECT_CAP": "0.5",
        "HEADWAY_REASSIGN_AFTER": f"{REASSIGN_AFTER}",
        "HEADWAY_REPLICA_TTL": "2",
    }
    with stack(tmp_path_factory.mktemp("h"), **terms) as headway:
        make_pool(headway, "pair")
        for entrypoint in ("many_steps", "waits_for", "waits_for_its_own"):
            name = entrypoint.replace("_", "-")
            headway.deploy(f"effects:{entrypoint}", name, "--pool", "pair")
        directory = tmp_path_factory.mktemp("agents")
        with (
            Proxy(headway.grpc_port) as proxy,
            hand_agent(headway, "pair", directory / "first", port=proxy.port) as first,
        ):
            second = HandAgent(headway, "pair", directory / "second")
            try:
                yield SimpleNamespace(headway=headway, proxy=proxy, first=first, second=second)
            finally:
                proxy.mend()
                second.stop()


@pytest.fixture
def pair(agents):
    """Leaves no run behind for the next test."""
    agents.runs = []
    yield agents
    agents.proxy.mend()
    for run in agents.runs:
        if shown(agents, run)["state"] not in TERMINAL:
            agents.headway.api("POST", f"/runs/{run}/cancel", {})
            agents.headway.ended(run)


@contextmanager
def idle_second(pair):
    """The second agent, started once the first one has the runs of the test, and gone for the next test."""
    pair.second.start()
    try:
        yield
    finally:
        pair.second.stop()


def begun(pair, deployment, file, **parameters):
    """A run whose user code executes on the first agent."""
    run = pair.headway.start_run(deployment, path=str(file), **parameters)
    pair.runs.append(run)
    eventually(lambda: marks(file), what="the flow has begun")
    assert pair.first.run_directories(run)
    return run


def shown(pair, run):
    return pair.headway.api.patiently("GET", f"/runs/{run}")


def attempts(pair, run):
    return pair.headway.api("GET", f"/runs/{run}/attempts")["attempts"]


def until_disconnected(pair, run):
    def is_disconnected():
        found = shown(pair, run)
        assert (found["state"], found["attempt"]) == ("running", 1)
        return found["reason"] == "disconnected"

    eventually(is_disconnected, what="the API says disconnected")


def all_arrived(pair, run):
    """What the log holds of attempt 1 is what its agent's file holds: no gap, nothing twice."""
    wanted = Counter(
        "".join(word.title() for word in frame["type"].split("."))
        for _, frame in read(pair.first.run_directories(run)[1] / "frames.log")
    )
    events = pair.headway.api("GET", f"/events?stream=attempt/{run}/1&limit=500")["items"]
    return Counter(event["type"] for event in events) == wanted


def untouched(pair, run, file, expected):
    """The run ended in its first attempt, as if nothing had happened."""
    ended = pair.headway.ended(run)
    assert (ended["state"], ended["attempt"]) == ("completed", 1), ended
    assert violations(file, pair.first.run_directories(run), expected) == []
    assert pair.second.run_directories(run) == {}
    assert all_arrived(pair, run)
    assert pair.headway.violations() == []


def test_a_cut_of_three_leases_changes_nothing(pair, tmp_path):
    file = tmp_path / "marks"
    run = begun(pair, "many-steps", file, seconds=0.2)
    with idle_second(pair):
        pair.proxy.cut()
        until_disconnected(pair, run)
        outlast(2 * TTL)
        pair.proxy.mend()
        untouched(pair, run, file, MANY_STEPS)


def test_beyond_reassign_after_another_agent_takes_over(pair, tmp_path):
    """Two runs: the flow of one ends during the cut, and its facts come too late; that of the other is stopped afterwards."""
    files = {"late": tmp_path / "late", "stopped": tmp_path / "stopped"}
    gates = {name: tmp_path / f"gate-{name}" for name in files}
    runs = {
        name: begun(pair, "waits-for-its-own", files[name], gate=str(gates[name])) for name in files
    }

    def open_gate(name, attempt):
        gates[name].with_name(f"{gates[name].name}.{attempt}").touch()

    with idle_second(pair):
        pair.proxy.cut()
        open_gate("late", 1)
        for name, file in files.items():
            eventually(lambda f=file: {m.fence for m in marks(f)} == {1, 2}, what=f"{name} again")
        open_gate("late", 2)
        late = pair.headway.ended(runs["late"])
        pair.proxy.mend()

        def facts():
            return pair.headway.api("GET", f"/runs/{runs['late']}/late-facts")

        told = eventually(lambda: (f := facts()) and f[-1]["type"] == "AttemptExited" and f)
        assert {fact["attempt"] for fact in told} == {1}
        directory = pair.first.run_directories(runs["stopped"])[1]
        pids = {frame["pid"] for _, frame in read(directory / "frames.log") if "pid" in frame}
        for pid in pids:
            wait_gone(pid)
        open_gate("stopped", 2)
        stopped = pair.headway.ended(runs["stopped"])
        for ended in (late, stopped):
            assert (ended["state"], ended["attempt"]) == ("completed", 2)
            assert ended["result"]["preview"] == '"opened in attempt 2"'
            assert shown(pair, ended["id"]) | {"cursor": ""} == ended | {"cursor": ""}
            outcomes = [attempt["outcome"] for attempt in attempts(pair, ended["id"])]
            assert outcomes == ["lost", "completed"]
    assert pair.headway.violations() == []


def test_nothing_is_reassigned_because_we_were_away(pair, tmp_path):
    """Control plane and database stand still for longer than `reassign_after`; the agents are not to blame."""
    file, gate = tmp_path / "marks", tmp_path / "gate"
    run = begun(pair, "waits-for", file, gate=str(gate))
    with idle_second(pair):
        up = pair.headway.process
        up.send_signal(signal.SIGSTOP)  # or it would start them again
        try:
            pair.headway.part("server").kill()
            pair.headway.part("postgres").kill()
            outlast(REASSIGN_AFTER + TTL)
        finally:
            up.send_signal(signal.SIGCONT)
        eventually(lambda: shown(pair, run)["reason"] == "executing", what="its agent is back")
        assert attempts(pair, run)[-1]["number"] == 1
        outlast(TTL)  # whatever was due in the meantime would be acted on by now
        gate.touch()
        untouched(pair, run, file, {"flow"})


def test_an_agent_that_was_frozen_takes_up_where_it_was(pair, tmp_path):
    file, gate = tmp_path / "marks", tmp_path / "gate"
    run = begun(pair, "waits-for", file, gate=str(gate))
    with idle_second(pair):
        pair.first.process.send_signal(signal.SIGSTOP)
        try:
            until_disconnected(pair, run)
            gate.touch()  # flow and supervisor go on without their agent
        finally:
            pair.first.process.send_signal(signal.SIGCONT)
        untouched(pair, run, file, {"flow"})


def test_connections_that_break_over_and_over(pair, tmp_path):
    file = tmp_path / "marks"
    run = begun(pair, "many-steps", file, seconds=0.05)
    with idle_second(pair):
        for least in range(3, 18, 3):
            eventually(lambda n=least: len(marks(file)) >= n)
            pair.proxy.reset()
        untouched(pair, run, file, MANY_STEPS)


def test_a_half_open_connection_is_noticed(pair, tmp_path):
    """What the agent says arrives, what the control plane says does not: the agent must not trust its lease for ever."""
    file, gate = tmp_path / "marks", tmp_path / "gate"
    run = begun(pair, "waits-for", file, gate=str(gate))
    with idle_second(pair):
        before = len(pair.first.log_lines("does not answer"))
        pair.proxy.hold_down()
        eventually(lambda: len(pair.first.log_lines("does not answer")) > before)
        pair.proxy.reset()
        pair.proxy.mend()
        gate.touch()
        untouched(pair, run, file, {"flow"})
