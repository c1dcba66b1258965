"""The nursery: a process of one thread, forked before the flow begins, that forks its workers."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from headway.errors import WorkerDied
from headway.runtime import processes
from headway.runtime.streams import flush_output

_ANSWER = struct.Struct(">q")
_NEW, _EXIT_CODE = b"N", b"C"
_local = threading.local()


def is_own() -> bool:
    """Whether the fork that is going on in this thread is one of ours, whose child stays part of the run."""
    return bool(getattr(_local, "forking", False))


def _fork() -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    _local.forking = True
    try:
        return os.fork()
    finally:
        _local.forking = False


class Nursery:
    """Our end of it. One thread at a time."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        parent = os.getpid()
        if _fork() == 0:
            self._sock.close()
            _and_exit(lambda: _serve(theirs, parent))
        theirs.close()

    def fork(self) -> tuple[int, socket.socket]:
        """A new worker: its pid, and the socket to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._sock, [_NEW + bytes(_ANSWER.size)], [theirs.fileno()])
        return self._answer(), ours

    def exit_code(self, pid: int) -> int:
        """Of a worker that is dead, or about to be; or minus the signal. Once for each."""
        self._sock.sendall(_EXIT_CODE + _ANSWER.pack(pid))
        return self._answer()

    def close(self) -> None:
        self._sock.close()

    def _answer(self) -> int:
        data = self._sock.recv(_ANSWER.size, socket.MSG_WAITALL)
        if len(data) < _ANSWER.size:
            raise WorkerDied("the process that starts this run's workers has died")
        number: int = _ANSWER.unpack(data)[0]
        if number == _FAILED:
            raise WorkerDied("no worker could be started: the machine has no room for a process")
        return number


_FAILED = -(1 << 32)


def _serve(sock: socket.socket, parent: int) -> None:
    processes.die_with_parent(parent)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    while True:
        data, fds, _, _ = socket.recv_fds(sock, 1 + _ANSWER.size, 1, socket.MSG_WAITALL)
        if not data:
            return
        if data[:1] == _NEW:
            answer = _new(sock, fds[0])
        else:
            _, status = os.waitpid(_ANSWER.unpack(data[1:])[0], 0)
            answer = os.waitstatus_to_exitcode(status)
        sock.sendall(_ANSWER.pack(answer))


def _new(sock: socket.socket, fd: int) -> int:
    with socket.socket(fileno=fd) as theirs:
        parent = os.getpid()
        try:
            pid = _fork()
        except OSError:
            return _FAILED
        if pid == 0:
            from headway.runtime.worker_process import work_on  # noqa: PLC0415 - only workers need it

            sock.close()
            processes.die_with_parent(parent)
            _and_exit(lambda: work_on(theirs))
        return pid


def _and_exit(run: Callable[[], None]) -> NoReturn:
    """Never unwinds into the stack that was forked with it."""
    code = 1
    try:
        run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 (the last frame of the process: leave a trace and go)
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)
