"""What goes wrong with one attempt or environment, and must not with the others."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from headway_agent.runner import template
from headway_agent.runner.api import AttemptKey
from headway_agent.runner.attempts import Runner
from headway_agent.runner.environments import Environment, update
from headway_agent.spool.errors import SpoolFault
from support.attempts import SDK, TESTS
from support.runners import RUN, agent, assignment

pytestmark = pytest.mark.process
KEY = AttemptKey(RUN, 1)
OTHER = "33333333-3333-3333-3333-333333333333"


async def test_an_interpreter_that_hangs_delays_nobody_else(tmp_path: Path) -> None:
    hung = tmp_path / "hung"
    wait = "import socket, sys; socket.socket(fileno=int(sys.argv[sys.argv.index('--fd') + 1])).recv(1)"
    hung.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{wait}" "$@"\n')
    hung.chmod(0o755)
    async with agent(tmp_path / "s", sweep_every=0.05) as one:
        update(tmp_path / "environments.toml", Environment("hung", str(hung), str(one.root)))
        slow = asyncio.create_task(one.runner.start(assignment(run=OTHER, environment="hung")))
        await one.until(lambda: one.held(AttemptKey(OTHER, 1)) is not None)
        await one.runner.start(assignment("calls", count=10))
        await one.until_state(KEY, "exited")
        assert not slow.done()
        slow.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await slow


async def test_a_stopped_supervisor_ends_its_attempt_when_told(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        (starting, *_) = await one.facts(KEY)
        os.kill(starting["pid"], signal.SIGSTOP)
        assert await one.runner.kill(KEY)
        await one.until_state(KEY, "exited")
        assert (await one.last(KEY))["outcome"] == "cancelled"


async def test_an_upgrade_of_the_sdk_gets_a_new_template(tmp_path: Path) -> None:
    sdk = tmp_path / "sdk"
    shutil.copytree(SDK, sdk, ignore=shutil.ignore_patterns("__pycache__", "cli"))
    path = os.pathsep.join(map(str, (sdk, TESTS)))
    base_env = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
    async with agent(tmp_path / "s", base_env=base_env) as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        new = sdk / "headway" / "version.new"
        new.write_text('__version__ = "99"\n')
        new.replace(sdk / "headway" / "version.py")
        await one.runner.start(assignment(fence=2))
        await one.until_state(AttemptKey(RUN, 2), "exited")
        said = [(await one.facts(AttemptKey(RUN, fence)))[0]["sdk"] for fence in (1, 2)]
    assert said[0] != "99"
    assert said[1] == "99"


async def test_a_hint_about_what_was_deleted_is_nothing(tmp_path: Path) -> None:
    async with agent(tmp_path / "s", keep_us=0) as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        await one.runner.acked(KEY, 4)
        await one.runner.forget(RUN)
        one.runner._on_wake(KEY)
        assert await one.runner.delete_old() == [RUN]
        later = AttemptKey(OTHER, 1)
        await one.runner.start(assignment(run=OTHER))
        await one.until_state(later, "exited")


async def test_a_runner_that_fails_inside_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(tmp_path / "s") as one:

        async def breaks(_self: Runner, _attempt: object) -> None:
            raise ValueError("broken")

        monkeypatch.setattr(Runner, "_refresh", breaks)
        await one.runner.start(assignment())
        with pytest.raises(ValueError, match="broken"):
            await asyncio.wait_for(one.until(lambda: False), 20)


async def test_nothing_runs_before_its_grant_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its start is prepared meanwhile, and what was prepared in vain does not stand in the way of the next try."""

    async def no_room(_self: Runner, _attempt: object) -> None:
        raise SpoolFault("No space left")

    async with agent(tmp_path / "s") as one:
        with monkeypatch.context() as patch:
            patch.setattr(Runner, "_record_assigned", no_room)
            for refused in ({}, {"entrypoint": "no entry point"}):
                with pytest.raises(SpoolFault):
                    await one.runner.start(assignment(changes=refused))
        assert not (one.dir.run_dir(KEY) / "frames.log").exists()
        assert one.runner.held() == []
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        assert (await one.last(KEY))["outcome"] == "completed"


async def test_what_lies_in_a_directory_stays_until_it_is_known_that_nobody_uses_it(
    tmp_path: Path,
) -> None:
    async with agent(tmp_path / "s") as one:
        one.runner.keep_variables({"a": 1})
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        variables = one.dir.run_dir(KEY) / "variables.json"
        before = variables.read_bytes()
        one.runner.keep_variables({"a": 2})
        one.runner._remove(one.runner._attempts[KEY])  # as after the loss of agent.db
        await one.runner.start(assignment("wait"))
        assert variables.read_bytes() == before
        assert await one.runner.kill(KEY)
        await one.until_state(KEY, "exited")


async def test_the_reserve_of_a_lost_supervisor_is_given_back(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        reserve = one.dir.run_dir(KEY) / "reserve"
        assert reserve.exists()
        (starting, *_) = await one.facts(KEY)
        os.kill(starting["pid"], signal.SIGKILL)
        await one.until_state(KEY, "exited")
        assert not reserve.exists()


async def test_a_template_that_does_not_answer_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "SPAWN_WITHIN", 0.5)
    monkeypatch.setattr(template, "END_WITHIN", 0.1)
    later = AttemptKey(OTHER, 1)
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        (slot,) = one.runner.launcher._templates._slots.values()
        assert slot._template is not None
        os.kill(slot._template._process.pid, signal.SIGSTOP)
        await one.runner.start(assignment(run=OTHER))
        await one.until_state(later, "exited")
        assert (await one.last(later))["outcome"] == "completed"
