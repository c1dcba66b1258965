"""Processes as the runner sees them: who they are, that a signal reaches the right one, and when they die."""

import asyncio
import subprocess
import sys

import pytest

from headway_agent.runner import processes
from headway_agent.runner.processes import NOBODY, ProcessId
from support.attempts import is_alive, wait_dead

DEADLINE = 20.0


def sleeper(env: dict[str, str] | None = None, **options: bool) -> subprocess.Popen[bytes]:
    body = "print(flush=True); import time; time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", body], env=env, stdout=subprocess.PIPE, **options
    )
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    return process


def start_time(pid: int) -> int:
    stat = processes._stat(pid)
    assert stat is not None
    return stat.start_time


def dies(process: subprocess.Popen[bytes]) -> int:
    return process.wait(DEADLINE)


@pytest.mark.process
def test_a_signal_reaches_the_same_process_alone() -> None:
    process = sleeper()
    started = start_time(process.pid)
    assert not processes.send_signal(ProcessId(process.pid, started - 1), 15), (
        "the pid was used again"
    )
    assert not processes.send_signal(NOBODY, 15)
    assert process.poll() is None
    assert processes.send_signal(ProcessId(process.pid, started), 15)
    assert dies(process) == -15
    assert not processes.send_signal(ProcessId(process.pid, started), 15)


@pytest.mark.process
def test_leftovers_are_the_session_and_the_marked() -> None:
    mine = sleeper(start_new_session=True)
    marked = sleeper(env={"MARK": "r/1"}, start_new_session=True)
    other = sleeper(env={"MARK": "r/12"}, start_new_session=True)
    leader = ProcessId(mine.pid, start_time(mine.pid))
    clock = iter(range(1000))
    assert processes.end_leftovers(leader, b"MARK=r/1", 100, lambda: next(clock))
    assert (dies(mine), dies(marked)) == (-9, -9)
    assert other.poll() is None
    other.kill()
    dies(other)


@pytest.mark.process
def test_a_dead_leader_that_nobody_collected_still_names_its_session() -> None:
    body = (
        "import os, sys, time\n"
        "child = os.fork()\n"
        "print(child, flush=True) if child else None\n"
        "time.sleep(600)"
    )
    command = [sys.executable, "-c", body]
    leader = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout
    child = int(leader.stdout.readline())
    leader.stdout.close()
    who = ProcessId(leader.pid, start_time(leader.pid))
    leader.kill()
    wait_dead(leader.pid)
    assert not is_alive(leader.pid)
    assert is_alive(child)
    clock = iter(range(1000))
    assert processes.end_leftovers(who, b"MARK=none", 100, lambda: next(clock))
    assert not is_alive(child)
    dies(leader)


@pytest.mark.process
def test_a_session_whose_number_was_used_again_is_nobodys() -> None:
    stranger = sleeper(start_new_session=True)
    leader = ProcessId(stranger.pid, start_time(stranger.pid) - 1)
    assert processes.end_leftovers(leader, b"MARK=none", 1, lambda: 0.0)
    assert stranger.poll() is None
    stranger.kill()
    dies(stranger)


@pytest.mark.process
async def test_a_death_is_noticed() -> None:
    process = sleeper()
    died = asyncio.Event()
    who = ProcessId(process.pid, start_time(process.pid))
    end = processes.watch(who, died.set)
    assert not died.is_set()
    process.kill()
    async with asyncio.timeout(DEADLINE):
        await died.wait()
    end()
    dies(process)
    late = asyncio.Event()
    processes.watch(who, late.set)
    async with asyncio.timeout(DEADLINE):
        await late.wait()
