"""What the agent asks of the kernel about processes that are not its children."""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_WATCH_ALL = 0.05


class ProcessId(NamedTuple):
    """A pid and when its process started, in the kernel's ticks (0 where unknown): together they name it for good."""

    pid: int
    start_time: int


NOBODY = ProcessId(0, 0)


def boot_id() -> str:
    """Names this boot of the machine; empty where the platform has no such name."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def send_signal(process: ProcessId, number: int) -> bool:
    """Signals the process if it is still the same; whether it was."""
    if process.pid <= 0:
        return False
    try:
        if not hasattr(os, "pidfd_open"):
            return _same(process) and _kill(process.pid, number)
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor names one process; after this look nobody else can be meant.
        if not _same(process):
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def watch(process: ProcessId, on_death: Callable[[], None]) -> Callable[[], None]:
    """Calls back in this event loop when the process dies (at once if it has); the result ends the watch.

    Without pidfd (macOS) nothing is watched: the sweep asks the lock of frames.log instead.
    """
    loop = asyncio.get_running_loop()
    if not hasattr(os, "pidfd_open"):
        return lambda: None
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return loop.call_soon(on_death).cancel
    if not _same(process):
        os.close(fd)
        return loop.call_soon(on_death).cancel
    watching = True

    def end() -> None:
        nonlocal watching
        if watching:
            watching = False
            loop.remove_reader(fd)
            os.close(fd)

    def died() -> None:
        end()
        on_death()

    loop.add_reader(fd, died)
    return end


def end_leftovers(
    leader: ProcessId, marker: bytes, seconds: float, monotonic: Callable[[], float]
) -> bool:
    """Kills what a dead supervisor left: its session, and whoever carries the attempt's marker in the environment.

    True when nobody of them is left but those that became another user's (sudo): nobody here can end them.
    Blocks; call it on a thread.
    """
    deadline = monotonic() + seconds
    foreign: set[int] = set()
    while left := [pid for pid in _leftovers(leader, marker) if pid not in foreign]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it died by itself
            except PermissionError:
                foreign.add(pid)
        if monotonic() >= deadline:
            return False
        _wait_for_deaths(left)
    return True


def _leftovers(leader: ProcessId, marker: bytes) -> Iterator[int]:
    try:
        names = [name for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 (hundreds of names: no Path each)
    except OSError:
        return
    # A session keeps its leader's pid from being used again while it has a member. So either the leader's pid is free
    # or ours (dead and perhaps not yet collected), or somebody else has it and our session is empty.
    holder = _stat(leader.pid)
    session_is_ours = leader.pid > 0 and (holder is None or holder.start_time == leader.start_time)
    for pid in map(int, names):
        stat = _stat(pid)
        if stat is None or stat.state in "ZX":
            continue
        if (session_is_ours and stat.session == leader.pid) or _carries(pid, marker):
            yield pid


def _carries(pid: int, marker: bytes) -> bool:
    try:
        environ = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return marker in environ.split(b"\0")


def _wait_for_deaths(pids: list[int]) -> None:
    fds = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            fds.append(os.pidfd_open(pid))
    try:
        select.select(fds, [], [], _WATCH_ALL)
    finally:
        for fd in fds:
            os.close(fd)


class _Stat(NamedTuple):
    state: str
    session: int
    start_time: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name may hold spaces and parentheses: the fields begin behind the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(fields[0].decode(), int(fields[3]), int(fields[19]))


def _same(process: ProcessId) -> bool:
    stat = _stat(process.pid)
    if stat is None:
        return not (_PROC / "self").exists()
    return stat.state not in "ZX" and process.start_time in {0, stat.start_time}


def _kill(pid: int, number: int) -> bool:
    os.kill(pid, number)
    return True
