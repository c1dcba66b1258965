"""The template and its supervisors as real processes, over a flow process that does what each test wants."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.runtime.frames_log import read
from headway.runtime.output import MAX_TEXT
from support.attempts import (
    TemplateProcess,
    WakeSocket,
    is_alive,
    lines_of,
    template,
    texts_of,
    wait_dead,
    write_start,
)

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def forks() -> Iterator[TemplateProcess]:
    with template("--allow-faults") as process:
        yield process


def facts_of(run_dir: Path) -> list[dict[str, Any]]:
    return [frame for _, frame in read(run_dir / "frames.log")]


def finish(forks: TemplateProcess, run_dir: Path) -> dict[str, Any]:
    answer = forks.spawn(run_dir)
    assert answer["type"] == "spawned", answer
    wait_dead(answer["pid"])
    assert not (run_dir / "supervisor.err").exists()
    return facts_of(run_dir)[-1]


class Running:
    """An attempt that has come to where the test wants it."""

    def __init__(self, forks: TemplateProcess, run_dir: Path, do: str, **arguments: Any) -> None:
        self.run_dir = run_dir
        run_dir.mkdir()
        self.wake = WakeSocket(run_dir / "wake")
        grace = {"cancel_grace_us": 60_000_000, "kill_grace_us": 60_000_000, "wake": self.wake.path}
        write_start(run_dir, do, extra=grace | arguments.pop("extra", {}), **arguments)
        answer = forks.spawn(run_dir)
        assert answer["type"] == "spawned", answer
        self.pid: int = answer["pid"]
        self.wake.until(lambda: any(fact["type"] == "call.retrying" for fact in facts_of(run_dir)))
        self.flow: int = facts_of(run_dir)[1]["pid"]

    def last(self) -> dict[str, Any]:
        wait_dead(self.pid)
        self.wake.close()
        return facts_of(self.run_dir)[-1]

    def until_printed(self, text: str) -> None:
        path = self.run_dir / "output.log"
        self.wake.until(lambda: path.exists() and text in texts_of(self.run_dir))


def test_ready_says_what_it_speaks(forks: TemplateProcess) -> None:
    assert forks.ready["type"] == "ready"
    assert forks.ready["protocol_min"] <= forks.ready["protocol"] == 2
    assert forks.ready["pid"] == forks.process.pid


def test_the_whole_story_of_an_attempt(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r")
    answer = forks.spawn(run_dir, "x7")
    assert answer["id"] == "x7"
    wait_dead(answer["pid"])
    starting, started, ended, exited = facts_of(run_dir)
    assert (starting["type"], starting["pid"], starting["start_time"]) == (
        "attempt.starting",
        answer["pid"],
        answer["start_time"],
    )
    assert started["type"] == "attempt.started"
    assert ended["type"] == "attempt.ended"
    assert exited["outcome"] == "completed"
    assert exited["started_at_us"] == started["at_us"]
    assert exited["result"] == ended["result"]
    # It said nothing, and was over before it needed room of its own.
    assert sorted(path.name for path in run_dir.iterdir()) == ["frames.log", "start.json"]


def test_nothing_is_started_twice(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r")
    finish(forks, run_dir)
    before = (run_dir / "frames.log").read_bytes()
    assert forks.spawn(run_dir)["code"] == "already_started"
    assert (run_dir / "frames.log").read_bytes() == before


@pytest.mark.parametrize(
    "extra", [{"protocol": 99}, {"root": None}, {"parameters": []}, {"env": "x"}, {"protocol": "1"}]
)
def test_a_bad_start_is_refused_and_leaves_nothing(
    forks: TemplateProcess, tmp_path: Path, extra: dict[str, Any]
) -> None:
    run_dir = write_start(tmp_path / "r", extra=extra)
    assert forks.spawn(run_dir)["code"] == "bad_start"
    assert [path.name for path in run_dir.iterdir()] == ["start.json"]


def test_a_missing_start_is_refused(forks: TemplateProcess, tmp_path: Path) -> None:
    assert forks.spawn(tmp_path)["code"] == "bad_start"


@pytest.mark.parametrize(
    ("do", "arguments", "outcome", "cause", "how"),
    [
        ("exit", {"code": 3}, "crashed", "exit", {"exit_code": 3}),
        ("exit", {"code": 0}, "crashed", "exit", {"exit_code": 0}),
        ("end_then_exit", {"code": 4}, "crashed", "exit", {"exit_code": 4}),
        ("signal_self", {"number": 11}, "crashed", "signal", {"signal": 11}),
        ("signal_self", {"number": 9}, "crashed", "signal", {"signal": 9}),
        ("refuse", {}, "refused", "", {"exit_code": 0}),
    ],
)
def test_how_the_flow_process_ended(
    forks: TemplateProcess,
    tmp_path: Path,
    do: str,
    arguments: dict[str, Any],
    outcome: str,
    cause: str,
    how: dict[str, int],
) -> None:
    last = finish(forks, write_start(tmp_path / "r", do, **arguments))
    assert (last["outcome"], last["cause"]) == (outcome, cause)
    assert {key: last[key] for key in ("exit_code", "signal") if key in last} == how


def test_a_missing_root_is_told(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", extra={"root": str(tmp_path / "missing")})
    assert finish(forks, run_dir)["exit_code"] == 70
    assert "No such file or directory" in texts_of(run_dir)[-1]


def test_the_environment_is_what_start_says(tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "environ", extra={"env": {"A": "1"}})
    with template(HEADWAY_TOKEN="secret") as forks:
        finish(forks, run_dir)
    (text,) = texts_of(run_dir)
    seen = json.loads(text)
    assert {key: value for key, value in seen["env"].items() if key != "LC_CTYPE"} == {"A": "1"}
    assert seen["cwd"] == str(run_dir)
    assert len(seen["fds"]) == 5, "three streams, the socket, and the listing itself"


def test_printed_bytes_become_lines(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "bytes", data="a\xff\x00b\nrest")
    assert finish(forks, run_dir)["lines"] == 2
    assert texts_of(run_dir) == ["a\ufffd\ufffdb", "rest"]


def test_a_line_of_ten_megabytes(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "long_line", size=10_000_000)
    finish(forks, run_dir)
    assert texts_of(run_dir) == [
        "x" * MAX_TEXT + f" ... [cut {10_000_000 - MAX_TEXT} bytes]",
        "next",
    ]


def test_log_frames_are_lines(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "log", text="a\nb")
    assert finish(forks, run_dir)["lines"] == 1
    (line,) = lines_of(run_dir)
    assert (line["source"], line["level"], line["call"], line["logger"]) == (
        "log",
        "WARNING",
        "root",
        "app",
    )
    assert line["text"] == "a\nb"


def test_thousands_of_calls_are_few_groups(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "calls", count=10_000)
    finish(forks, run_dir)
    facts = facts_of(run_dir)
    ended = [fact["call"] for fact in facts if fact["type"] == "call.ended"]
    assert ended == [f"{i:032x}" for i in range(10_000)]
    assert sum(fact["type"] == "call.started" for fact in facts) < 1_000


def test_a_sync_call_is_confirmed_when_it_is_durable(
    forks: TemplateProcess, tmp_path: Path
) -> None:
    assert finish(forks, write_start(tmp_path / "r", "sync", count=20))["outcome"] == "completed"


def test_frames_that_are_none_do_no_harm(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "bad_frames")
    assert finish(forks, run_dir)["outcome"] == "completed"
    assert [fact["type"] for fact in facts_of(run_dir)].count("attempt.exited") == 1
    assert all("left out" in text for text in texts_of(run_dir))


def test_a_frame_beyond_the_limit_ends_the_flow(forks: TemplateProcess, tmp_path: Path) -> None:
    run_dir = write_start(tmp_path / "r", "huge_frame")
    assert finish(forks, run_dir)["signal"] == 9
    assert "1073741824 bytes" in texts_of(run_dir)[0]


# Cancel.


def test_cancel_asks_first(forks: TemplateProcess, tmp_path: Path) -> None:
    running = Running(forks, tmp_path / "r", "cooperate")
    os.kill(running.pid, signal.SIGTERM)
    last = running.last()
    assert (last["outcome"], last["cause"], last["exit_code"]) == ("cancelled", "cancelled", 0)


def test_cancel_escalates_on_its_own_clock(forks: TemplateProcess, tmp_path: Path) -> None:
    grace = {"cancel_grace_us": 20_000, "kill_grace_us": 20_000}
    running = Running(forks, tmp_path / "r", "ignore_signals", extra=grace)
    os.kill(running.pid, signal.SIGTERM)
    last = running.last()
    assert (last["outcome"], last["cause"], last["signal"]) == ("cancelled", "killed", 9)
    assert texts_of(running.run_dir) == ["ready", "usr1", "term"]


def test_asking_again_goes_to_the_next_step(forks: TemplateProcess, tmp_path: Path) -> None:
    running = Running(forks, tmp_path / "r", "ignore_signals")
    os.kill(running.pid, signal.SIGTERM)
    running.until_printed("usr1")
    os.kill(running.pid, signal.SIGTERM)
    running.until_printed("term")
    os.kill(running.pid, signal.SIGTERM)
    assert running.last()["cause"] == "killed"


def test_kill_is_at_once(forks: TemplateProcess, tmp_path: Path) -> None:
    running = Running(forks, tmp_path / "r", "ignore_signals")
    os.kill(running.pid, signal.SIGQUIT)
    last = running.last()
    assert (last["outcome"], last["cause"]) == ("cancelled", "killed")
    assert texts_of(running.run_dir) == ["ready"]


def test_a_cancel_before_the_supervisor_listens_is_not_lost(
    forks: TemplateProcess, tmp_path: Path
) -> None:
    for n in range(10):
        run_dir = write_start(tmp_path / str(n), "wait")
        pid = forks.spawn(run_dir)["pid"]
        os.kill(pid, signal.SIGTERM)
        wait_dead(pid)
        assert facts_of(run_dir)[-1]["outcome"] == "cancelled"


def test_a_stopped_flow_is_killed_too(forks: TemplateProcess, tmp_path: Path) -> None:
    grace = {"cancel_grace_us": 10_000, "kill_grace_us": 10_000}
    running = Running(forks, tmp_path / "r", "wait", extra=grace)
    os.kill(running.flow, signal.SIGSTOP)
    os.kill(running.pid, signal.SIGTERM)
    assert running.last()["outcome"] == "cancelled"


# Descendants.


def printed_pids(run_dir: Path) -> list[int]:
    return [
        int(match[1]) for text in texts_of(run_dir) if (match := re.fullmatch(r"pid (\d+)", text))
    ]


@pytest.mark.parametrize("do", ["grandchild", "forked_daemon"])
def test_what_the_flow_left_behind_is_ended(
    forks: TemplateProcess, tmp_path: Path, do: str
) -> None:
    run_dir = write_start(tmp_path / "r", do)
    assert finish(forks, run_dir)["outcome"] == "completed"
    (left,) = printed_pids(run_dir)
    assert not is_alive(left)


def test_a_kill_reaches_processes_in_sessions_of_their_own(
    forks: TemplateProcess, tmp_path: Path
) -> None:
    running = Running(forks, tmp_path / "r", "grandchild_wait", count=3)
    running.until_printed("ready")
    left = printed_pids(running.run_dir)
    assert len(left) == 3
    os.kill(running.pid, signal.SIGQUIT)
    assert running.last()["cause"] == "killed"
    assert not any(map(is_alive, left))


def test_the_flow_dies_with_its_supervisor(forks: TemplateProcess, tmp_path: Path) -> None:
    running = Running(forks, tmp_path / "r", "ignore_signals")
    os.kill(running.pid, signal.SIGKILL)
    wait_dead(running.flow)
    assert running.last()["type"] == "call.retrying", "nobody could tell the end"


def test_supervisors_outlive_their_template(tmp_path: Path) -> None:
    with template() as forks:
        running = Running(forks, tmp_path / "r", "cooperate")
    assert is_alive(running.pid)
    os.kill(running.pid, signal.SIGTERM)
    assert running.last()["outcome"] == "cancelled"


# Full disks.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("mounting a small disk takes root")
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk here: {done.stderr!r}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_keeps_the_facts_and_counts_the_lines(
    forks: TemplateProcess, small_disk: Path
) -> None:
    run_dir = write_start(
        small_disk / "r", "fill", path=str(small_disk / "fill"), count=500, size=100
    )
    last = finish(forks, run_dir)
    assert last["outcome"] == "completed"
    facts = facts_of(run_dir)
    assert sum(fact["type"] == "call.ended" for fact in facts) == 500
    lines = lines_of(run_dir)
    assert last["lines"] == len(lines)
    assert len(lines) + sum(line.get("dropped", 1) - 1 for line in lines) <= 2


def test_an_attempt_without_a_reserve_of_its_own_ends_on_a_full_disk(small_disk: Path) -> None:
    """One that is over within milliseconds has none; what its template keeps is for its last word."""
    filler = small_disk / "fill"
    run_dir = small_disk / "r"
    with template() as forks:
        write_start(run_dir, "end_on_a_full_disk", path=str(filler), size=100_000)
        last = finish(forks, run_dir)
        assert last["outcome"] == "completed"
        assert len(last["result"]["data"]) == 100_002
        filler.unlink()
        # There is room again, and the next one takes it back.
        again = finish(forks, write_start(small_disk / "s"))
        assert again["outcome"] == "completed"
        write_start(small_disk / "t", "end_on_a_full_disk", path=str(filler), size=100_000)
        assert finish(forks, small_disk / "t")["outcome"] == "completed"


def test_on_a_full_disk_the_flow_waits_and_goes_on_when_there_is_room(
    forks: TemplateProcess, small_disk: Path, tmp_path: Path
) -> None:
    """More facts than the reserve takes: the flow must wait, and nothing may be missing in the end."""
    filler = small_disk / "fill"
    run_dir = small_disk / "r"
    run_dir.mkdir()
    wake = WakeSocket(tmp_path / "wake")
    write_start(run_dir, "fill", extra={"wake": wake.path}, path=str(filler), count=1500, size=2000)
    pid = forks.spawn(run_dir)["pid"]
    wake.until(lambda: any(fact["type"] == "call.ended" for fact in facts_of(run_dir)))
    assert is_alive(pid)
    filler.unlink()
    wait_dead(pid)
    wake.close()
    facts = facts_of(run_dir)
    assert sum(fact["type"] == "call.ended" for fact in facts) == 1500
    assert facts[-1]["outcome"] == "completed"


def test_a_cancel_on_a_full_disk_is_recorded(
    forks: TemplateProcess, small_disk: Path, tmp_path: Path
) -> None:
    run_dir = small_disk / "r"
    run_dir.mkdir()
    wake = WakeSocket(tmp_path / "wake")
    write_start(
        run_dir,
        "fill",
        extra={"wake": wake.path},
        path=str(small_disk / "fill"),
        count=5000,
        size=1000,
    )
    pid = forks.spawn(run_dir)["pid"]
    wake.until(lambda: any(fact["type"] == "call.ended" for fact in facts_of(run_dir)))
    os.kill(pid, signal.SIGQUIT)
    wait_dead(pid)
    wake.close()
    assert facts_of(run_dir)[-1]["type"] == "attempt.exited"
