"""Starts the flow process: its own group, its own streams and environment, and no way to outlive its supervisor."""

import atexit
import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TextIO

from headway.runtime import processes
from headway.runtime.handlers import DEFAULT, set_handler
from headway.runtime.secret_frames import kept_variables
from headway.runtime.streams import flush_output

Child = Callable[[dict[str, Any], socket.socket], int]
"""What runs in the flow process: takes start.json and the socket, gives the exit code."""

RESET = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
BROKEN = 70
GO = b"!"


class FlowProcess(NamedTuple):
    """The supervisor's ends."""

    pid: int
    sock: socket.socket
    stdout: int
    stderr: int

    def go(self) -> None:
        """It may begin: what has to be durable before is."""
        with contextlib.suppress(OSError):  # it is dead already; its end says so
            self.sock.send(GO)

    def let_go(self) -> None:
        """A process that waits for another run sees that none comes, and ends."""
        with contextlib.suppress(OSError):  # it is dead already
            self.sock.shutdown(socket.SHUT_WR)


def start_flow(start: dict[str, Any], child: Child, inherited: Callable[[], None]) -> FlowProcess:
    """Forks the flow process, which sets itself up and then waits for `go`. `inherited` closes there what belongs to the
    supervisor alone. Early is best: what the supervisor changes in memory before, it copies twice.
    """
    ours, theirs = socket.socketpair()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:

        def flow() -> int:
            _detach(supervisor)
            inherited()
            ours.close()
            os.close(out_read)
            os.close(err_read)
            _set_streams(out_write, err_write)
            _enter(start)
            return child(start, theirs) if theirs.recv(1) == GO else BROKEN

        _run_and_exit(flow)
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # the child does the same; whoever comes first
        os.setpgid(pid, pid)
    theirs.close()
    os.close(out_write)
    os.close(err_write)
    ours.settimeout(0)
    os.set_blocking(out_read, False)
    os.set_blocking(err_read, False)
    return FlowProcess(pid, ours, out_read, err_read)


def _detach(supervisor: int) -> None:
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in RESET:
        set_handler(number, DEFAULT)
    set_handler(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    processes.die_with_parent(supervisor)


def _set_streams(out: int, err: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    # New objects: the template's remember what its own streams were (a file can seek, a pipe can't).
    stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    for name, stream in (("stdin", stdin), ("stdout", text_writer(1)), ("stderr", text_writer(2))):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def text_writer(fd: int) -> TextIO:
    """Lines show up as they are printed, and a character that the encoding lacks ends no flow."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _enter(start: dict[str, Any]) -> None:
    # The flow's environment is what start.json says and nothing of the agent's. The template's is nearly the same, and
    # setting all of it anew would cost each attempt more than comparing.
    present = dict(os.environ)  # noqa: TID251
    kept = {name: present[name] for name in kept_variables(start) if name in present}
    wanted = {**kept, **start["env"]}
    for name in present.keys() - wanted.keys():
        del os.environ[name]  # noqa: TID251
    os.environ.update(wanted.items() - present.items())  # noqa: TID251
    os.chdir(start["root"])


def _run_and_exit(flow: Callable[[], int]) -> NoReturn:
    code = BROKEN
    try:
        code = flow()
        atexit._run_exitfuncs()  # noqa: SLF001 (what user code registered; the template's stack below must not unwind)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else BROKEN
    except BaseException:  # noqa: BLE001 (the last frame of the process: report and leave)
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)
