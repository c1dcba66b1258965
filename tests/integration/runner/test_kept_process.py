"""`isolation = reuse` with real processes: what runs share, what each finds anew, and what ends a kept process."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from headway_agent.runner.api import Answer, AttemptKey
from support.attempts import ROOT, is_alive, wait_dead
from support.kept_processes import FLOWS, reusing

pytestmark = pytest.mark.process

SCHEMA = json.loads((ROOT / "proto/headway_api/ipc/v1/frames.schema.json").read_text())
FRAME = jsonschema.Draft202012Validator(SCHEMA)


async def test_many_runs_of_one_process_have_files_of_their_own(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        found = [await it.value("looks", n=n) for n in range(200)]
        assert len({each["pid"] for each in found}) == 1
        assert [each["runs"] for each in found] == list(range(200)), "globals are shared"
        assert {each["sum"] for each in found} == {6}
        supervisors = set()
        for n, key in enumerate(it.started):
            facts = await it.one.facts(key)
            for fact in facts:
                FRAME.validate(fact)
            assert facts[0]["type"] == "attempt.starting"
            assert facts[0]["run"] == key.run
            assert facts[-1]["outcome"] == "completed"
            assert sum(fact["type"] == "call.ended" for fact in facts) == 3
            assert await it.lines(key) == [f"out {n}"]
            supervisors.add(facts[0]["pid"])
        assert len(supervisors) == 1
        markers = [each["env"].pop("HEADWAY_ATTEMPT") for each in found]
        assert markers == [f"{key.run}/1" for key in it.started]
        first = found[0]
        assert all(each["env"] == first["env"] for each in found)


async def test_a_run_finds_its_process_as_the_first_one_did(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        before = await it.value("looks")
        pid = await it.value("meddles")
        assert pid == before["pid"]
        assert "heard" in await it.lines(it.started[-1])
        after = await it.value("looks")
        for each in (before, after):
            each["env"].pop("HEADWAY_ATTEMPT")
            each.pop("runs")
        assert after == before
        assert before["env"]["SET_BY_IMPORT"] == "1"
        assert await it.lines(it.started[-1]) == ["out 0"]


async def test_a_failed_run_and_a_suspended_one_leave_the_process_to_the_next(
    tmp_path: Path,
) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks")
        assert (await it.run("fails"))["outcome"] == "failed"
        suspended = it.grant("sleeps")
        last = await it.ended(await it.take(suspended))
        assert last["outcome"] == "suspended"
        over = Answer(last["waits"][0]["call"], over=True)
        again = replace(suspended, key=AttemptKey(suspended.key.run, 2), answers=(over,))
        last = await it.ended(await it.take(again))
        assert (last["outcome"], last["result"]["data"]) == ("completed", str(first["pid"]))
        facts = await it.one.facts(again.key)
        assert "skipped" in [fact.get("outcome") for fact in facts], "the journal held the call"
        after = await it.value("looks")
        assert (after["pid"], after["runs"]) == (first["pid"], 1)


@pytest.mark.parametrize("how", ["exit", "kill", "thread", "process", "stdout", "memory"])
async def test_what_is_not_as_it_was_is_not_used_again(tmp_path: Path, how: str) -> None:
    limits = {"max_memory_mb": 150}
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks", limits)
        last = await it.run("ends", limits, how=how)
        assert last["outcome"] == ("crashed" if how in ("exit", "kill") else "completed")
        wait_dead(first["pid"])
        if how not in ("exit", "kill"):
            assert any("takes no other run" in line for line in await it.lines(it.started[-1]))
        after = await it.value("looks", limits)
        assert (after["pid"] != first["pid"], after["runs"]) == (True, 0)


async def test_a_process_ends_after_so_many_runs(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        pids = [(await it.value("looks", {"max_runs_per_process": 2}))["pid"] for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


async def test_cancel_and_timeout_end_the_process(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks")
        key = await it.start("waits")
        assert await it.begun(key) == first["pid"]
        assert await it.one.runner.cancel(key)
        assert (await it.ended(key))["outcome"] == "cancelled"
        wait_dead(first["pid"])
        second = await it.value("looks")
        assert (await it.run("late"))["cause"] == "timed out"
        wait_dead(second["pid"])
        assert (await it.value("looks"))["runs"] == 0


async def test_a_cancel_of_an_ended_attempt_does_not_reach_the_next_one(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks")
        key = await it.start("waits")
        assert await it.begun(key) == first["pid"]
        assert not await it.one.runner.cancel(it.started[0])
        assert not await it.one.runner.kill(it.started[0])
        await it.one.runner.fenced(it.started[0])
        assert is_alive(first["pid"])
        assert await it.one.runner.kill(key)
        await it.one.until_state(key, "exited")


async def test_other_code_gets_another_process(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks", {"code_hash": "a"})
        other = await it.value("looks", {"code_hash": "b"})
        assert other["pid"] != first["pid"]
        assert (await it.value("looks", {"code_hash": "a"}))["pid"] == first["pid"]
        assert (await it.value("looks", {"code_hash": "a", "isolation": "process"}))["runs"] == 0
        code = it.one.root / "kept_here.py"
        code.write_text(FLOWS.replace("2 * n", "3 * n"))
        changed = await it.value("looks", {"code_hash": "a"})
        assert (changed["runs"], changed["sum"]) == (0, 9), "never old code for changed files"
        wait_dead(first["pid"])
        again = await it.value("looks", {"code_hash": "a"})
        assert again["sum"] == 9


async def test_a_file_that_changed_while_it_was_imported_is_not_trusted(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        (it.one.root / "kept_here.py").write_text(FLOWS + "\npathlib.Path(__file__).touch()\n")
        first = await it.value("looks")
        assert any("takes no other run" in line for line in await it.lines(it.started[0]))
        wait_dead(first["pid"])


@pytest.mark.parametrize("whom", ["supervisor", "flow"])
async def test_a_process_killed_between_runs_harms_none(tmp_path: Path, whom: str) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks")
        supervisor = (await it.one.facts(it.started[0]))[0]["pid"]
        os.kill(first["pid"] if whom == "flow" else supervisor, signal.SIGKILL)
        wait_dead(first["pid"])
        wait_dead(supervisor)
        after = await it.value("looks")
        assert (after["runs"], after["pid"] != first["pid"]) == (0, True)


@pytest.mark.parametrize(("whom", "cause"), [("supervisor", "supervisor lost"), ("flow", "signal")])
async def test_a_process_killed_in_a_run_ends_that_run_alone(
    tmp_path: Path, whom: str, cause: str
) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks")
        key = await it.start("waits", name="here")
        assert await it.begun(key) == first["pid"]
        supervisor = (await it.one.facts(key))[0]["pid"]
        os.kill(first["pid"] if whom == "flow" else supervisor, signal.SIGKILL)
        last = await it.ended(key)
        assert (last["outcome"], last["cause"]) == ("crashed", cause)
        wait_dead(first["pid"])
        assert (await it.value("looks"))["runs"] == 0
        assert len(it.effects()) == 1
        before = await it.one.last(it.started[0])
        assert before["outcome"] == "completed"


async def test_an_idle_process_ends_with_its_agent_and_a_busy_one_after_its_run(
    tmp_path: Path,
) -> None:
    async with reusing(tmp_path / "s") as it:
        idle = await it.value("looks", {"code_hash": "other"})
        busy = await it.value("looks")
        key = await it.start("waits")
        assert await it.begun(key) == busy["pid"]
    wait_dead(idle["pid"])
    assert is_alive(busy["pid"])
    async with reusing(tmp_path / "s") as it:
        assert it.one.held(key).alive
        assert await it.one.runner.cancel(key)
        assert (await it.ended(key))["outcome"] == "cancelled"
        wait_dead(busy["pid"])


async def test_an_idle_process_ends_after_a_time(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s", idle_us=1) as it:
        first = await it.value("looks")
        wait_dead(first["pid"])
        assert (await it.value("looks"))["runs"] == 0


async def test_the_environment_is_that_of_the_deployment(tmp_path: Path) -> None:
    async with reusing(tmp_path / "s") as it:
        first = await it.value("looks", {"env": {"A": "1"}})
        other = await it.value("looks", {"env": {"A": "2"}})
        assert (first["env"]["A"], other["env"]["A"]) == ("1", "2")
        assert first["pid"] != other["pid"]
