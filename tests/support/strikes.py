"""kill -9 of whatever runs in a `Stack`: finds a living victim, kills it, and says whether there was one."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterable
from contextlib import suppress

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
        postmaster = headway.part("postgres")
        return [postmaster, *postmaster.children(recursive=True)]
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
