"""kill -9 and SIGSTOP of what runs in a `Stack`: finds living victims, strikes, and says whether there were any."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from support.eventually import eventually
from support.load import Load
from support.processes import wait_gone
from support.stack import Stack
from support.trial import KILL, Trial


def strike(headway: Stack, work: Load, trial: Trial, target: str, rng: random.Random) -> None:
    """Kill what `target` names, several processes at one blow, and count it once all of them are gone."""
    victims = _victims(headway, work, target, rng)
    if kill(victims):
        trial.happened(f"{KILL}{target}")


def kill(victims: Iterable[psutil.Process]) -> bool:
    """Kill them at one blow; whether all were alive until then."""
    pids = []
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            if victim.status() != psutil.STATUS_ZOMBIE:
                pids.append(victim.pid)
    struck = [pid for pid in pids if _send(pid, signal.SIGKILL)]
    for pid in struck:
        wait_gone(pid)
    return bool(struck) and struck == pids


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _victims(headway: Stack, work: Load, target: str, rng: random.Random) -> list[psutil.Process]:
    if target == "PostgreSQL and its backends":
        return postgres_family(headway)
    if target in {"agent", "server"}:
        return [headway.part(target)]
    if target == "PostgreSQL":
        return [headway.part("postgres")]
    if target == "agent and its child":
        child = executing(headway, work, rng.choice(["supervisor", "flow"]))
        return [headway.part("agent"), child]
    return [executing(headway, work, target)]


def executing(headway: Stack, work: Load, what: str) -> psutil.Process:
    """The living supervisor or flow process of an attempt that runs."""
    find = headway.supervisor if what == "supervisor" else headway.flow_process

    def look() -> psutil.Process | None:
        for run in reversed(work.runs):
            fence = max(headway.run_directories(run), default=0)
            if (
                fence
                and (found := find(run, fence)) is not None
                and not _is_over(headway, run, fence)
            ):
                return found
        return None

    return eventually(look, what=f"a living {what}")


def _is_over(headway: Stack, run: str, fence: int) -> bool:
    return any(frame["type"] == "attempt.exited" for frame in headway.frames(run, fence))


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """SIGSTOP while the block lasts, the first one and those of the others that still live. Still so at the end, or the block proved nothing."""
    held: list[psutil.Process] = []
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                held.append(process)
        assert processes[0] in held, "there is nothing to stop"
        eventually(lambda: _all_stopped(held), what="all are stopped")
        yield
        assert _all_stopped(held), "somebody continued or ended what was stopped"
    finally:
        for process in held:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _all_stopped(processes: Iterable[psutil.Process]) -> bool:
    return all(process.status() == psutil.STATUS_STOPPED for process in processes)


def postgres_family(headway: Stack) -> list[psutil.Process]:
    """The postmaster and its backends."""
    postmaster = headway.part("postgres")
    return [postmaster, *postmaster.children(recursive=True)]


def outlast(seconds: float) -> None:
    """The length of an outage is what some tests are about: there is nothing to wait for in its place."""
    threading.Event().wait(seconds)
