"""Kill anything: whatever dies, each attempt runs at most once and ends with one last fact."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from headway_agent.runner.api import AttemptKey
from headway_agent.spool import records
from headway_agent.spool.frames import writer_alive
from support.attempts import is_alive, wait_dead
from support.runners import RUN, Agent, agent, assignment

pytestmark = pytest.mark.process
KEY = AttemptKey(RUN, 1)


async def pids_of(one: Agent) -> tuple[int, int]:
    """Supervisor and flow process."""
    facts = await one.facts(KEY)
    return facts[0]["pid"], facts[1]["pid"]


async def printed_pids(one: Agent) -> list[int]:
    texts = [json.loads(line.content)["text"] for line in await one.runner.lines(KEY, 0)]
    return [int(match[1]) for text in texts if (match := re.fullmatch(r"pid (\d+)", text))]


async def test_killed_supervisor(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("ignore_signals"))
        await one.until_ready(KEY)
        supervisor, flow = await pids_of(one)
        os.kill(supervisor, signal.SIGKILL)
        await one.until_state(KEY, "exited")
        last = await one.last(KEY)
        assert not is_alive(flow), "told only after it was seen"
    assert (last["outcome"], last["cause"]) == ("crashed", "supervisor lost")


async def test_killed_supervisor_leaves_no_grandchildren(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("grandchild_wait", count=2))
        await one.until_ready(KEY)
        await one.until(lambda: (held := one.held(KEY)) is not None and held.last_line >= 3)
        supervisor, _ = await pids_of(one)
        grandchildren = await printed_pids(one)
        assert len(grandchildren) == 2
        os.kill(supervisor, signal.SIGKILL)
        await one.until_state(KEY, "exited")
        assert not any(map(is_alive, grandchildren))


async def test_killed_flow(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        _, flow = await pids_of(one)
        os.kill(flow, signal.SIGKILL)
        await one.until_state(KEY, "exited")
        last = await one.last(KEY)
    assert (last["outcome"], last["cause"], last["signal"]) == ("crashed", "signal", 9)


async def test_a_running_attempt_is_adopted_by_the_next_agent(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        await one.runner.start(assignment("cooperate"))
        await one.until_ready(KEY)
        pids = await pids_of(one)
    assert all(map(is_alive, pids)), "the agent's end is none of theirs"
    async with agent(state) as two:
        held = two.held(KEY)
        assert held is not None
        assert held.alive
        assert await two.runner.cancel(KEY)
        await two.until_state(KEY, "exited")
        assert await two.facts(KEY) == [*(await two.facts(KEY))]
        assert (await two.last(KEY))["outcome"] == "cancelled"


async def test_an_attempt_that_ended_meanwhile_is_reported(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        supervisor, flow = await pids_of(one)
    os.kill(flow, signal.SIGTERM)
    wait_dead(supervisor)
    async with agent(state) as two:
        assert two.held(KEY).state == "exited"  # type: ignore[union-attr]
        assert (await two.last(KEY))["signal"] == 15


async def test_all_killed_at_once(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        supervisor, flow = await pids_of(one)
    os.kill(supervisor, signal.SIGKILL)
    os.kill(flow, signal.SIGKILL)
    wait_dead(supervisor)
    async with agent(state) as two:
        assert (await two.last(KEY))["cause"] == "supervisor lost"
        assert [fact["type"] for fact in await two.facts(KEY)].count("attempt.starting") == 1


async def test_after_a_restart_of_the_host(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        supervisor, _ = await pids_of(one)
    os.kill(supervisor, signal.SIGKILL)
    wait_dead(supervisor)
    two = Agent(state)
    two.runner._settler._boot_id = "another boot"
    try:
        await two.runner.open()
        assert (await two.last(KEY))["cause"] == "host restarted"
    finally:
        await two.stop()


async def test_what_the_flow_said_of_its_end_stands(tmp_path: Path) -> None:
    """The supervisor dies after `attempt.ended` is durable and before `attempt.exited` is."""
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("end_then_wait"))
        await one.until_ready(KEY)
        supervisor, _ = await pids_of(one)
        os.kill(supervisor, signal.SIGKILL)
        await one.until_state(KEY, "exited")
        last = await one.last(KEY)
    assert (last["outcome"], last["cause"]) == ("completed", "supervisor lost")
    assert last["result"]["data"] == "null"


@pytest.mark.parametrize(
    "point", ["before_starting_durable", "after_starting", "before_commit", "after_commit"]
)
@pytest.mark.parametrize("restart", [False, True])
async def test_a_supervisor_killed_at_each_point(tmp_path: Path, point: str, restart: bool) -> None:
    """The flow writes a line into a file of its own: it was begun at most once, whoever is asked to start it again."""
    state = tmp_path / "s"
    mark = tmp_path / "mark"
    grant = assignment("mark_and_wait", path=str(mark))
    fault = {"fault": {"at": point, "n": 1}}
    async with agent(state, start_extra=fault) as one:
        await one.runner.start(grant)
        if not restart:
            await one.until_state(KEY, "exited")
    async with agent(state) as two:
        await two.runner.start(grant)
        await two.runner.resume(KEY)
        await two.until_state(KEY, "exited")
        facts = await two.facts(KEY)
    assert (facts[-1]["outcome"], facts[-1]["cause"]) == ("crashed", "supervisor lost")
    assert [fact["type"] for fact in facts].count("attempt.exited") == 1
    begun = mark.read_text().splitlines() if mark.exists() else []
    assert len(begun) <= 1
    if point in {"before_starting_durable", "after_starting"}:
        assert begun == []
    assert not any(is_alive(int(pid)) for pid in begun)


async def test_recorded_and_never_started_waits_for_its_confirmation(tmp_path: Path) -> None:
    state = tmp_path / "s"
    one = Agent(state)
    grant = assignment()
    await one.runner.open()
    one.runner._settler.settle = _nothing  # type: ignore[method-assign]
    await one.runner.start(grant)
    await one.stop()
    async with agent(state) as two:
        held = two.held(KEY)
        assert held is not None
        assert (held.state, held.last_seq) == ("assigned", 0)
        await two.runner.resume(KEY)
        await two.until_state(KEY, "exited")
        assert (await two.last(KEY))["outcome"] == "completed"


async def _nothing(*_args: object, **_named: object) -> None:
    pass


async def test_acknowledged_positions_outlive_the_agent(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        await one.runner.start(assignment("print", texts=["a", "b", "c"]))
        await one.until_state(KEY, "exited")
        await one.runner.acked(KEY, 3)
        await one.runner.lines_acked(KEY, 2)
        await one.runner.acked(KEY, 1)
    async with agent(state) as two:
        held = two.held(KEY)
        assert held is not None
        assert (held.acked_seq, held.acked_line) == (3, 2)
        await two.runner.acked(KEY, 4)
        await two.runner.lines_acked(KEY, 3)
    async with agent(state) as three:
        assert three.held(KEY) is None


async def test_a_fenced_attempt_that_outlives_the_agent_is_ended_by_the_next(
    tmp_path: Path,
) -> None:
    state = tmp_path / "s"
    async with agent(state) as one:
        await one.runner.start(assignment("ignore_signals"))
        await one.until_ready(KEY)
        supervisor, flow = await pids_of(one)
        await one.db.run(records.closed(*KEY, now_us=1))
    async with agent(state) as two:
        wait_dead(flow)
        wait_dead(supervisor)
        await two.until(lambda: two.held(KEY) is None)


async def test_the_lock_of_frames_log_tells_who_lives(tmp_path: Path) -> None:
    async with agent(tmp_path / "s") as one:
        await one.runner.start(assignment("wait"))
        await one.until_ready(KEY)
        path = one.dir.run_dir(KEY) / "frames.log"
        assert writer_alive(path)
        await one.runner.kill(KEY)
        await one.until_state(KEY, "exited")
        wait_dead((await pids_of(one))[0])
        assert not writer_alive(path)
