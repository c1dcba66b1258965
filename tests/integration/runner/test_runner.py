"""The runner over real template, supervisor and flow processes."""

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from headway_agent.runner.api import AttemptKey
from headway_agent.runner.environments import Environment, update
from headway_agent.runner.state_dir import StateDir, StateDirBusy
from headway_agent.spool import kept_values, retention
from support.attempts import wait_dead
from support.runners import RUN, agent, assignment

pytestmark = pytest.mark.process
KEY = AttemptKey(RUN, 1)


async def test_an_attempt_runs_and_tells_all(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("print", texts=["a", "b"]))
        await one.until_state(KEY, "exited")
        facts = await one.facts(KEY)
        lines = [json.loads(line.content)["text"] for line in await one.runner.lines(KEY, 0)]
    assert [fact["type"] for fact in facts] == [
        "attempt.starting",
        "attempt.started",
        "attempt.ended",
        "attempt.exited",
    ]
    assert facts[-1]["outcome"] == "completed"
    assert facts[-1]["lines"] == 2
    assert lines == ["a", "b"]


async def test_facts_are_read_from_any_seq_in_bounded_pieces(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("calls", count=1000, size=100))
        await one.until_state(KEY, "exited")
        seen = []
        while piece := await one.runner.facts(KEY, len(seen), max_items=300, max_bytes=50_000):
            assert len(piece) <= 300
            assert sum(len(fact.frame) for fact in piece) <= 50_000
            seen += piece
        assert [fact.seq for fact in seen] == list(range(1, 1005))
        assert (await one.runner.facts(KEY, 700, max_items=1))[0].seq == 701
        assert len(await one.runner.facts(KEY, 3, max_items=5, max_bytes=1)) == 1


async def test_start_is_safe_to_repeat(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        await one.runner.start(assignment("wait"))
        assert len(one.runner.held()) == 1
        assert await one.runner.kill(KEY)
        await one.until_state(KEY, "exited")
        assert [f["type"] for f in await one.facts(KEY)].count("attempt.starting") == 1


async def test_it_closes_when_all_is_acknowledged(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("print", texts=["a"]))
        await one.until_state(KEY, "exited")
        await one.runner.acked(KEY, 4)
        assert one.held(KEY) is not None
        await one.runner.lines_acked(KEY, 1)
        assert one.held(KEY) is None
        assert len(await one.runner.facts(KEY, 0)) == 4, "kept for a control plane that asks again"


async def test_the_flow_sees_its_environment_and_no_credential(tmp_path: Path) -> None:
    env_file = tmp_path / "flows.env"
    env_file.write_text("# comment\nGREETING='hello there'\n\nexport X=1\n")
    root = tmp_path / "code"
    root.mkdir()
    async with agent(tmp_path / "s") as one:
        file = tmp_path / "environments.toml"
        update(file, Environment("e", sys.executable, str(root), str(env_file)))
        await one.runner.start(assignment("environ", changes={"env": {"MINE": "1"}}))
        await one.until_state(KEY, "exited")
        (line,) = await one.runner.lines(KEY, 0)
        seen = json.loads(json.loads(line.content)["text"])
    assert seen["cwd"] == str(root)
    assert seen["env"]["GREETING"] == "hello there"
    assert seen["env"]["X"] == "1"
    assert seen["env"]["MINE"] == "1"
    assert seen["env"]["HEADWAY_ATTEMPT"] == f"{RUN}/1"
    assert "HEADWAY_TOKEN" not in seen["env"]
    assert len(seen["fds"]) == 5, "three streams, the socket, and the listing itself"
    start = tmp_path / "s" / "runs" / RUN / "1" / "start.json"
    assert stat.S_IMODE(start.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("changes", "cause", "kind"),
    [
        ({"environment": "unknown"}, "environment refused", "EnvironmentRefused"),
        ({"environment": "no-python"}, "environment refused", "EnvironmentRefused"),
        ({"environment": "no-sdk"}, "environment refused", "EnvironmentRefused"),
        ({"environment": "no-root"}, "entry point refused", "EntrypointRefused"),
        ({"environment": "outside"}, "entry point refused", "EntrypointRefused"),
        ({"entrypoint": "os;evil"}, "entry point refused", "EntrypointRefused"),
    ],
)
async def test_what_may_not_start_is_refused_by_a_fact(
    tmp_path: Path, changes: dict[str, str], cause: str, kind: str
) -> None:
    async with agent(tmp_path / "s") as one:
        file = tmp_path / "environments.toml"
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\necho no module named headway >&2; exit 1\n")
        python.chmod(0o755)
        update(file, Environment("no-python", "/nonexistent/python", str(one.root)))
        update(file, Environment("no-sdk", str(python), str(one.root)))
        update(file, Environment("no-root", str(python), str(tmp_path / "missing")))
        update(file, Environment("outside", str(python), str(tmp_path)))
        await one.runner.start(assignment(changes=changes))
        await one.until_state(KEY, "exited")
        (fact,) = await one.facts(KEY)
    assert fact["outcome"] == "refused"
    assert fact["cause"] == cause
    assert fact["error"]["class"] == kind
    assert fact["error"]["message"]


async def test_an_sdk_of_another_protocol_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "python"
    ready = '{"type":"ready","protocol":9,"protocol_min":8,"sdk":"9.0","python":"3.14","pid":1}'
    python.write_text(
        "#!/usr/bin/env python3\nimport socket,sys,struct\n"
        "s = socket.socket(fileno=int(sys.argv[5]))\n"
        f"m = {ready!r}.encode()\ns.sendall(struct.pack('>I', len(m)) + m)\ns.recv(1)\n"
    )
    python.chmod(0o755)
    async with agent(tmp_path / "s") as one:
        update(tmp_path / "environments.toml", Environment("new", str(python), str(one.root)))
        await one.runner.start(assignment(environment="new"))
        await one.until_state(KEY, "exited")
        (fact,) = await one.facts(KEY)
    assert fact["cause"] == "protocol refused"
    assert "Upgrade headway-agent" in fact["error"]["message"]


async def test_cancel_is_cooperative_first(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("cooperate"))
        await one.until_ready(KEY)
        assert await one.runner.cancel(KEY)
        await one.until_state(KEY, "exited")
        assert (await one.last(KEY))["outcome"] == "cancelled"
        assert not await one.runner.cancel(KEY)


async def test_cancel_before_the_start_ends_it_unstarted(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        one.runner._settler.settle = _nothing  # type: ignore[method-assign]
        await one.runner.start(assignment("wait"))
    async with agent(state) as two:
        assert two.held(KEY).state == "assigned"  # type: ignore[union-attr]
        assert not await two.runner.cancel(KEY)
        await two.until_state(KEY, "exited")
        (fact,) = await two.facts(KEY)
        assert fact["outcome"] == "cancelled"


async def _nothing(*_args: object, **_named: object) -> None:
    pass


async def test_fenced_ends_the_process_and_reports_no_more(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("ignore_signals"))
        await one.until_ready(KEY)
        flow = (await one.facts(KEY))[1]["pid"]
        await one.runner.fenced(KEY)
        wait_dead(flow)
        await one.until(lambda: one.held(KEY) is None)


async def test_a_template_that_dies_is_started_again(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        slot = one.runner.launcher._templates._slots["e"]
        first = slot._template._process  # type: ignore[union-attr]
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        second = AttemptKey(RUN, 2)
        await one.runner.start(assignment(fence=2))
        await one.until_state(second, "exited")
        assert (await one.last(second))["outcome"] == "completed"


async def test_a_later_attempt_is_given_the_journals_of_earlier_ones(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        for fence in (1, 2, 10):
            await one.runner.start(assignment(fence=fence))
            await one.until_state(AttemptKey(RUN, fence), "exited")
        start = json.loads((tmp_path / "s" / "runs" / RUN / "10" / "start.json").read_text())
    assert [Path(path).parent.name for path in start["journal"]] == ["1", "2"]


async def test_a_second_agent_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async with agent(tmp_path / "s"):
        with pytest.raises(StateDirBusy, match=f"process {os.getpid()}.*--state-dir"):
            StateDir(tmp_path / "s")


async def test_a_low_disk_keeps_nothing_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        await one.runner.acked(KEY, 4)
        await one.runner.forget(RUN)
        assert await one.runner.delete_old() == []
        monkeypatch.setattr(retention, "is_low", lambda _: True)
        assert await one.runner.delete_old() == [RUN]


async def test_a_run_stays_until_the_store_has_its_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(tmp_path / "s", keep_us=0, has_store=True) as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        [run_dir] = one.runner.take_started()
        assert one.runner.take_started() == set()
        await one.runner.acked(KEY, 4)
        await one.runner.forget(RUN)
        monkeypatch.setattr(retention, "is_low", lambda _: True)
        assert await one.runner.delete_old() == [], "nothing is lost, on a low disk neither"
    async with agent(tmp_path / "s", keep_us=0, has_store=True) as two:
        assert two.runner.take_started() == {run_dir}
        kept_values.wholly_stored(run_dir)
        assert await two.runner.delete_old() == [RUN]


async def test_what_a_restored_log_asks_for_again_is_held_and_closed_again(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        await one.runner.acked(KEY, 4)
        assert one.runner.held() == []
        await one.runner.reopen()
    async with agent(tmp_path / "s") as two:  # it outlives the agent's process
        (held,) = two.runner.held()
        assert (held.key, held.state, held.last_seq, held.acked_seq) == (KEY, "exited", 4, 0)
        await two.runner.acked(KEY, 4)
        assert two.runner.held() == []


async def test_directories_go_when_the_run_is_over_and_old(tmp_path: Path) -> None:
    async with agent(tmp_path / "s", keep_us=0) as one:
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        assert await one.runner.delete_old() == []
        await one.runner.acked(KEY, 4)
        assert await one.runner.delete_old() == [], "a retry may need the journal"
        await one.runner.forget(RUN)
        assert await one.runner.delete_old() == [RUN]
        assert not (tmp_path / "s" / "runs" / RUN).exists()
    async with agent(tmp_path / "s") as two:
        assert two.runner.held() == []


async def test_many_attempts_side_by_side(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        keys = [AttemptKey(f"{n:08d}", 1) for n in range(20)]
        await asyncio.gather(
            *(one.runner.start(assignment("calls", run=key.run, count=50)) for key in keys)
        )
        await one.until(lambda: all(one.held(key).state == "exited" for key in keys))  # type: ignore[union-attr]
        for key in keys:
            assert (await one.last(key))["outcome"] == "completed"


async def test_a_template_that_dies_with_each_spawn_ends_the_attempt(tmp_path: Path) -> None:
    python = tmp_path / "python"
    ready = '{"type":"ready","protocol":1,"protocol_min":1,"sdk":"0","python":"3","pid":1}'
    python.write_text(
        "#!/usr/bin/env python3\nimport socket,sys,struct\n"
        "s = socket.socket(fileno=int(sys.argv[5]))\n"
        f"m = {ready!r}.encode()\ns.sendall(struct.pack('>I', len(m)) + m)\ns.recv(1)\n"
    )
    python.chmod(0o755)
    async with agent(tmp_path / "s") as one:
        update(tmp_path / "environments.toml", Environment("dies", str(python), str(one.root)))
        await one.runner.start(assignment(environment="dies"))
        await one.until_state(KEY, "exited")
        (fact,) = await one.facts(KEY)
    assert (fact["outcome"], fact["error"]["class"]) == ("crashed", "TemplateLost")


async def test_a_fault_of_the_disk_is_raised_and_the_start_can_be_repeated(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        blocker = one.dir.runs / RUN
        blocker.write_text("in the way")
        with pytest.raises(OSError, match="Not a directory"):
            await one.runner.start(assignment())
        blocker.unlink()
        await one.runner.start(assignment())
        await one.until_state(KEY, "exited")
        assert (await one.last(KEY))["outcome"] == "completed"
