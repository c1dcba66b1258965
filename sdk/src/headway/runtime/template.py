"""The template process: one per environment, started by the agent; forks a supervisor for each attempt, or one that is kept.

It imports the standard library and this package, nothing of the user's, so a fork of it is a clean beginning. It is
single-threaded: a fork of a process with threads may inherit a lock that nobody frees.
"""

import contextlib
import gc
import json
import os
import platform
import select
import signal
import socket
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headway import version
from headway.runtime import processes
from headway.runtime.attempt_files import LOST, note_failure
from headway.runtime.flow_process import Child
from headway.runtime.frames_log import Writer
from headway.runtime.framing import FrameSplitter, pack
from headway.runtime.handlers import DEFAULT, IGNORE, set_handler
from headway.runtime.keeper import Keeper
from headway.runtime.reserve import CommonReserve
from headway.runtime.start import (
    PROTOCOL,
    PROTOCOL_MIN,
    BadStart,
    faults_of,
    load_start,
    without_faults,
)
from headway.runtime.supervisor import supervise
from headway.version import __version__

HELD_BACK = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)
MOST_FDS = 64


class Template:
    """Serves spawn requests from one socket until its other end is closed."""

    def __init__(
        self,
        sock: socket.socket,
        child: Child,
        rehearsals: Sequence[Callable[[], None]] = (),
        *,
        allow_faults: bool = False,
    ) -> None:
        """`rehearsals`: done in turn while there is no request; what they leave in memory is shared with all forks."""
        self._rehearsals = list(rehearsals)
        self._sock = sock
        self._child = child
        self._faults_of = faults_of if allow_faults else without_faults
        # Sockets that came with spawns: a frame and its descriptor come in the same order.
        self._given: deque[int] = deque()
        self._common: CommonReserve | None = None
        """Made with the first attempt, on whose disk it is to be."""

    def serve(self) -> None:
        # Supervisors are nobody's to wait for: their last fact says how they ended.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes.boot_id()  # known to all forks
        gc.collect()
        gc.freeze()  # what is shared with all forks stays shared
        self._send(
            {
                "type": "ready",
                "protocol": PROTOCOL,
                "protocol_min": PROTOCOL_MIN,
                "sdk": __version__,
                "source": version.__file__,
                "python": platform.python_version(),
                "pid": os.getpid(),
                "keeps": True,
            }
        )
        splitter = FrameSplitter()
        with contextlib.suppress(ConnectionError):  # the agent is gone: as at end of file
            while data := self._next():
                for raw in splitter.feed(data):
                    self._handle(json.loads(raw))

    def _next(self) -> bytes:
        while self._rehearsals and not select.select([self._sock], [], [], 0)[0]:
            self._rehearse(self._rehearsals.pop())
        return self._receive()

    def _rehearse(self, rehearsal: Callable[[], None]) -> None:
        try:
            rehearsal()
        except Exception:  # noqa: BLE001 - attempts do without; the agent keeps what is written here
            traceback.print_exc()
            self._rehearsals.clear()
        if not self._rehearsals:
            gc.collect()
            gc.freeze()

    def _receive(self) -> bytes:
        data, fds, _, _ = socket.recv_fds(self._sock, 65536, MOST_FDS)
        self._given.extend(fds)
        return data

    def _handle(self, frame: dict[str, Any]) -> None:
        if frame.get("type") == "spawn":
            agent = socket.socket(fileno=self._given.popleft()) if frame.get("keep") else None
            with agent or contextlib.nullcontext():
                self._send({"id": frame["id"], **self._spawn(Path(frame["run_dir"]), agent)})

    def _send(self, frame: dict[str, Any]) -> None:
        self._sock.sendall(pack(frame))

    def _spawn(self, run_dir: Path, agent: socket.socket | None = None) -> dict[str, Any]:
        """Whoever creates frames.log executes the attempt, so that comes first and happens here."""
        try:
            start = load_start(run_dir)
            writer = Writer.create(run_dir / "frames.log")
        except FileExistsError:
            return _refused("already_started", f"{run_dir} was started before")
        except BadStart as error:
            return _refused("bad_start", str(error))
        except (
            OSError
        ) as error:  # a full disk, no descriptors left: nothing is wrong with the attempt
            return _refused("fork_failed", str(error))
        if self._common is None:
            self._common = CommonReserve.on_disk_of(str(run_dir))
        self._common.fill()
        common = self._common
        try:
            pid = self._fork(lambda: self._supervise(start, writer, agent, common))
        except OSError as error:
            (run_dir / "frames.log").unlink()  # nothing ran, and nobody will
            return _refused("fork_failed", str(error))
        finally:
            writer.close()
        return {"type": "spawned", "pid": pid, "start_time": processes.start_time(pid)}

    def _fork(self, run: Callable[[], None]) -> int:
        # A signal between fork and handler would end the supervisor silently; it takes them when it is ready.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            pid = processes.bare_fork()
            if pid == 0:
                run()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _supervise(
        self,
        start: dict[str, Any],
        writer: Writer,
        agent: socket.socket | None,
        common: CommonReserve,
    ) -> None:
        """The forked side; never returns."""
        code = LOST
        try:
            self._sock.close()
            os.setsid()
            os.chdir("/")
            set_handler(signal.SIGCHLD, DEFAULT)
            set_handler(signal.SIGHUP, IGNORE)
            processes.adopt_orphans()
            if agent is None:
                faults = self._faults_of(start)
                supervise(
                    start,
                    writer,
                    sdk=__version__,
                    child=self._child,
                    faults=faults,
                    common=common,
                )
            else:
                keeper = Keeper(
                    agent,
                    sdk=__version__,
                    child=self._child,
                    faults_of=self._faults_of,
                    common=common,
                )
                keeper.serve(start, writer)
            code = 0
        except SystemExit:
            pass  # it has left its trace where the attempt is that it failed in
        except BaseException:  # noqa: BLE001 (the last frame of the process: leave a trace and go)
            note_failure(start["run_dir"])
        finally:
            os._exit(code)


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"type": "refused", "code": code, "message": message}
