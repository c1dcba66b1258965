"""kill -9 and SIGSTOP of what runs in a `Stack`: finds living victims, strikes, and says whether there were any."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from headway.runtime.frames_log import read
from support.eventually import eventually
from support.load import Load, Rig
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


def executing(rig: Rig, work: Load, what: str) -> psutil.Process:
    """The living supervisor or flow process of an attempt that runs, by what its file says of it."""
    wanted = "attempt.starting" if what == "supervisor" else "attempt.started"

    def look() -> psutil.Process | None:
        for run in reversed(work.runs):
            for _, directory in sorted(rig.run_directories(run).items(), reverse=True):
                found = _living(frames_of(directory), wanted)
                if found is not None:
                    return found
        return None

    return eventually(look, what=f"a living {what}")


def frames_of(directory: Path) -> list[dict[str, Any]]:
    """What an attempt's file holds."""
    path = directory / "frames.log"
    return [frame for _, frame in read(path)] if path.exists() else []


def _living(frames: list[dict[str, Any]], wanted: str) -> psutil.Process | None:
    told = {frame["type"]: frame for frame in frames}
    if wanted not in told or "attempt.exited" in told:
        return None
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(told[wanted]["pid"])
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


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
