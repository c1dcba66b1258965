"""A supervisor that keeps its flow process: when an attempt is over, both wait for the next one of the same code.

Each attempt has its own frames.log, lock, output.log and `attempt.starting`, as if its supervisor were a new process. The
agent hands the next start over a socket of the two. Whatever is in doubt ends the pair: the agent then has another forked.
"""

import contextlib
import os
import select
import selectors
import signal
import socket
from typing import Any, NamedTuple

from headway.runtime import clock, processes
from headway.runtime.attempt_files import (
    LastingFiles,
    announce,
    nothing_left_behind,
    open_store,
)
from headway.runtime.flow_process import Child, FlowProcess, start_flow
from headway.runtime.frames_log import Writer
from headway.runtime.framing import FrameSplitter, FrameTooLarge, pack, packed_raw, parse
from headway.runtime.imported import changed
from headway.runtime.redaction import Redactor
from headway.runtime.reserve import CommonReserve, Reserve, unnamed_in
from headway.runtime.signals import Signals
from headway.runtime.start import BadStart, FaultsOf, check_start
from headway.runtime.supervisor import Lasting, Supervisor

READ = 64 * 1024
HAND_OVER_S = 10.0
LAST_S = 5.0
"""How long a flow process that is no longer needed may take for its own exit handlers."""
IDLE_US = 60_000_000
MOST_IDLE_US = 24 * 3600 * 1_000_000


class Refused(Exception):
    """A start that is not taken. `code` as the template tells it; after `retired` the pair ends."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Given(NamedTuple):
    """An attempt that was taken. `frame`: as the agent told of it."""

    start: dict[str, Any]
    writer: Writer
    frame: bytes


class Keeper:
    """One flow process and the attempts that it executes, one after another."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        sdk: str,
        child: Child,
        faults_of: FaultsOf,
        common: CommonReserve,
    ) -> None:
        self._sock = sock
        self._common = common
        self._lasting: LastingFiles | None = None
        self._sdk = sdk
        self._child = child
        self._faults_of = faults_of
        self._frames = FrameSplitter()
        self._signals: Signals | None = None
        self._redactor = Redactor()
        self._files: dict[str, Any] = {}
        self._idle: selectors.BaseSelector | None = None
        self._idle_s = IDLE_US / 1e6

    def serve(self, start: dict[str, Any], writer: Writer) -> None:
        """Attempts until there is a reason to end: the first one from its start on, then those of the agent."""
        begun_us = clock.now_us()
        start = {**start, "kept": True}
        self._idle_s = _idle_us(start) / 1e6

        def inherited() -> None:
            writer.close()
            self._sock.close()
            self._common.close()

        flow = start_flow(start, self._child, inherited)
        with nothing_left_behind(start, flow):
            announce(start, writer, self._sdk, self._faults_of(start))
            flow.go()
            kept = self._supervise(flow, start, writer, begun_us)
        while kept and (given := self._next(flow)) is not None:
            start, writer, frame = given
            with nothing_left_behind(start, flow):
                begun_us = clock.now_us()
                announce(start, writer, self._sdk, self._faults_of(start))
                _hand_over(flow, frame)
                kept = self._supervise(flow, start, writer, begun_us)
        self._end(flow)

    def _supervise(
        self, flow: FlowProcess, start: dict[str, Any], writer: Writer, begun_us: int
    ) -> bool:
        self._signals = self._signals or Signals()
        self._common.fill()
        if self._lasting is None:
            folder = start["run_dir"]
            self._lasting = LastingFiles(Reserve(lambda: unnamed_in(folder)))
        faults = self._faults_of(start)
        store = open_store(start, writer, faults, self._common, self._lasting)
        lasting = Lasting(self._signals, self._sock, self._redactor)
        supervisor = Supervisor(start, flow, store, begun_us, self._child, lasting)
        supervisor.run()
        self._files |= supervisor.files
        return supervisor.kept

    # Between two attempts

    def _next(self, flow: FlowProcess) -> Given | None:
        """The next attempt, whose frames.log is ours now; None when there is none to come."""
        assert self._signals is not None, "signals are caught from the first attempt on"
        self._signals.clear()
        if self._is_over(flow) or not self._say({"type": "idle"}):
            return None
        raw = self._wait(flow)
        frame = None if raw is None else parse(raw)
        if raw is None or frame is None or frame["type"] != "next":
            return None
        number = str(frame.get("id"))
        try:
            start, writer = self._take(flow, frame)
        except Refused as refused:
            answer = {"type": "refused", "code": refused.code, "message": str(refused)}
            self._say({**answer, "id": number})
            return None
        own = {"pid": os.getpid(), "start_time": processes.own_start_time()}
        self._say({"type": "spawned", "id": number, **own})
        return Given(start, writer, raw)

    def _wait(self, flow: FlowProcess) -> bytes | None:
        """What the agent says next; None when it is gone, when nothing came for long, or when the flow process stirs."""
        assert self._signals is not None, "signals are caught from the first attempt on"
        if self._idle is None:
            self._idle = selectors.PollSelector()
            for source in (self._sock, self._signals, flow.sock, flow.stdout, flow.stderr):
                self._idle.register(source, selectors.EVENT_READ)
        ready = [key.fileobj for key, _ in self._idle.select(self._idle_s)]
        if ready != [self._sock]:
            return None
        return self._receive()

    def _receive(self) -> bytes | None:
        with contextlib.suppress(OSError, FrameTooLarge):  # the agent is gone, or out of step
            while data := self._sock.recv(READ):
                for raw in self._frames.feed(data):
                    return raw
        return None

    def _take(self, flow: FlowProcess, frame: dict[str, Any]) -> tuple[dict[str, Any], Writer]:
        """Whoever creates frames.log executes the attempt, so all that may speak against it comes before."""
        if self._is_over(flow):
            raise Refused("retired", "the kept process was ended")
        if what := changed(self._files):
            raise Refused("retired", f"{what} was changed since the kept process imported it")
        try:
            start = check_start(frame.get("start"), str(frame.get("run_dir")))
            writer = Writer.create(f"{start['run_dir']}/frames.log")
        except FileExistsError as error:
            raise Refused("already_started", str(error)) from error
        except BadStart as error:
            raise Refused("bad_start", str(error)) from error
        except OSError as error:
            raise Refused("fork_failed", str(error)) from error
        return {**start, "kept": True}, writer

    def _is_over(self, flow: FlowProcess) -> bool:
        """A cancel of the last attempt that came too late for it, or a flow process that somebody ended."""
        asked = self._signals is not None and self._signals.any
        return asked or any(pid == flow.pid for pid, _ in processes.reap())

    def _say(self, frame: dict[str, Any]) -> bool:
        try:
            self._sock.sendall(pack(frame))
        except OSError:
            return False
        return True

    def _end(self, flow: FlowProcess) -> None:
        """The flow process ends as any does, with its exit handlers; what it leaves or what hangs dies with us."""
        self._sock.close()
        flow.let_go()
        deadline = clock.monotonic() + LAST_S
        while processes.has_children() and (left := deadline - clock.monotonic()) > 0:
            self._wait_for_signal(left)
        processes.signal_group(flow.pid, signal.SIGKILL)
        processes.signal_each(processes.descendants(os.getpid()), signal.SIGKILL)

    def _wait_for_signal(self, seconds: float) -> None:
        """A dead child sends one."""
        if self._signals is not None:
            select.select([self._signals], [], [], seconds)
            self._signals.clear()
        for _ in processes.reap():
            pass  # nobody asks any more how they ended


def _hand_over(flow: FlowProcess, frame: bytes) -> None:
    """What the agent said, as it is. A flow process that died meanwhile gets nothing; its end then is the attempt's."""
    packed = packed_raw(frame)
    with contextlib.suppress(OSError):
        sent = _send_now(flow.sock, packed)
        if sent < len(packed):
            flow.sock.settimeout(HAND_OVER_S)
            flow.sock.sendall(packed[sent:])
    flow.sock.settimeout(0)


def _send_now(sock: socket.socket, data: bytes) -> int:
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0


def _idle_us(start: dict[str, Any]) -> int:
    given = start.get("idle_us")
    return given if type(given) is int and 0 < given <= MOST_IDLE_US else IDLE_US
