"""What the supervisor asks of the kernel: who is whose child, who dies with whom, who is still the same process."""

import contextlib
import ctypes
import functools
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STAT_MAX = 4096  # a command's name is short, and the numbers are fifty
_CHILDREN_MAX = 64  # one pid and the beginning of another are enough
_PROC = Path("/proc")
# Looked up once, in the template: each attempt calls it twice.
_LIBC_PRCTL = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
# PyDLL: the child has the interpreter's lock as its parent has it.
_FORK = ctypes.PyDLL(None, use_errno=True).fork if sys.platform == "linux" else None
if _LIBC_PRCTL is not None:
    _LIBC_PRCTL.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def start_time(pid: int) -> int:
    """When the process started, in the kernel's ticks: with the pid it names a process for good. 0 where unknown."""
    return _stat(pid)[1]


def own_start_time() -> int:
    """That of the calling process, which never changes."""
    return _own_start_time(os.getpid())


@functools.lru_cache(maxsize=1)
def _own_start_time(pid: int) -> int:
    return start_time(pid)


@functools.cache
def boot_id() -> str:
    """Names this boot of the machine; empty where the platform has no such name."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def die_with_parent(parent: int) -> None:
    """The calling process gets SIGKILL when its parent dies (Linux). Ends it at once if that has happened already."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def bare_fork() -> int:
    """As os.fork, without what Python's modules do in a child (threads, logging and `random` begin anew there): a tenth of
    the pages that a short attempt copies. For a process of one thread whose child uses none of these. Raises OSError.
    """
    if _FORK is None:
        return os.fork()
    pid: int = _FORK()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"fork: {os.strerror(code)}")
    return pid


def adopt_orphans() -> None:
    """Orphaned descendants become children of the calling process (Linux), so none escapes."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on. Empty on platforms without /proc."""
    parents = {child: _stat(child)[0] for child in _all_pids()}
    return list(_below(pid, parents))


def signal_group(group: int, number: int) -> None:
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # macOS: EPERM when only zombies are left
        os.killpg(group, number)


def signal_each(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        # A descendant that became another user's (sudo) is not ours to end, and no reason to give up on the others.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap() -> Iterator[tuple[int, int]]:
    """Collects every dead child: pid and wait status."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def has_children() -> bool:
    """Whether the calling process has a child, dead ones not yet collected included.

    macOS can't say; there orphans are not ours anyway.
    """
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def has_only_child(pid: int) -> bool:
    """Whether nobody but `pid`, which lives, is a child of the calling process. Main thread only."""
    own = os.getpid()
    try:
        children = _read(f"/proc/{own}/task/{own}/children", _CHILDREN_MAX).split()
    except OSError:  # a kernel without that list, or a platform where orphans are not ours anyway
        return descendants(own) in ([pid], [])
    return children == [b"%d" % pid]


def resident_pages() -> int:
    """Of the calling process. Raises OSError where the platform does not tell."""
    return int(_read("/proc/self/statm", _STAT_MAX).split()[1])


def _below(root: int, parents: Mapping[int, int]) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    waiting = [root]
    while waiting:
        for child in children.pop(waiting.pop(), ()):
            yield child
            waiting.append(child)


def _all_pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 (hundreds of names: no Path each)
    except OSError:
        return []


def _stat(pid: int) -> tuple[int, int]:
    """Parent and start time; zeros for a process that is gone."""
    try:
        text = _read(f"/proc/{pid}/stat", _STAT_MAX)
    except OSError:  # also where it ended between the two calls
        return 0, 0
    # The command's name may hold spaces and parentheses: the fields begin behind the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return int(fields[1]), int(fields[19])


def _read(path: str, most: int) -> bytes:
    # Without a Path and a file object, which cost six system calls more: each attempt looks here.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def _prctl(option: int, value: int) -> None:
    if _LIBC_PRCTL is not None and _LIBC_PRCTL(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
