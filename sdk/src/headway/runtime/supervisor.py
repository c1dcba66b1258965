"""The supervisor: one process per attempt (one for several, in `keeper`). It alone holds the flow's socket and streams and
writes the attempt's files.

It outlives the agent, kills the flow when it dies itself, and its last fact tells how the flow process ended.
"""

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from headway.runtime import clock, processes
from headway.runtime.attempt_files import (
    announce,
    encode_last,
    nothing_left_behind,
    open_store,
)
from headway.runtime.decisions import (
    TIMED_OUT,
    CancelEvent,
    Cancelling,
    Signal,
    cancel_step,
    decide_exit,
    ending,
)
from headway.runtime.flow_process import Child, FlowProcess, start_flow
from headway.runtime.frames_log import Writer
from headway.runtime.framing import FrameSplitter, FrameTooLarge, pack
from headway.runtime.intake import Intake
from headway.runtime.output import LineSplitter
from headway.runtime.redaction import Redactor
from headway.runtime.reserve import CommonReserve
from headway.runtime.secret_frames import kept_variables
from headway.runtime.signals import Signals
from headway.runtime.start import Faults, ranges
from headway.runtime.store import Store

READ = 64 * 1024  # what a pipe holds; a larger buffer would be mapped and unmapped for each read
LAST_KILL = 10.0
KILL_ROUND = 0.05
HOOKS_S = 30.0
REUSABLE = frozenset({"completed", "failed", "suspended"})
"""Ends of a flow after which its process may take the next run, if it says that it is fit to."""


def supervise(
    start: dict[str, Any],
    writer: Writer,
    *,
    sdk: str,
    child: Child,
    faults: Faults,
    common: CommonReserve | None = None,
) -> None:
    """One attempt, from `attempt.starting` to `attempt.exited`; returns when the last fact is durable."""
    started_at_us = clock.now_us()
    common = common or CommonReserve()

    def inherited() -> None:
        writer.close()
        common.close()

    flow = start_flow(start, child, inherited)
    with nothing_left_behind(start, flow):
        announce(start, writer, sdk, faults)
        flow.go()
        store = open_store(start, writer, faults, common)
        Supervisor(start, flow, store, started_at_us, child).run()
        store.reserve.release()


class Lasting(NamedTuple):
    """What a supervisor that keeps its flow process has from one attempt to the next."""

    signals: Signals
    agent: socket.socket
    """Over which the next start comes; no child may have it."""
    redactor: Redactor
    """The process has the secrets of earlier attempts, too."""


class Supervisor:
    """Watches one flow process until it and everything it started are dead and told of."""

    def __init__(
        self,
        start: dict[str, Any],
        flow: FlowProcess,
        store: Store,
        started_at_us: int,
        child: Child,
        lasting: Lasting | None = None,
    ) -> None:
        """With `lasting`, the flow process may be kept."""
        self._start = start
        self._signals = lasting.signals if lasting else None
        self._agent = lasting.agent if lasting else None
        self._child = child
        self._flow = flow
        self._store = store
        redactor = lasting.redactor if lasting else Redactor()
        self._intake = Intake(store, started_at_us, redactor, ranges=ranges(start))
        for variable, name in kept_variables(start).items():
            self._intake.redactor.add(name, os.environ.get(variable, ""))  # noqa: TID251 - given for this attempt
        self._frames = FrameSplitter()
        self._cancel = Cancelling(
            start.get("cancel_grace_us", 5_000_000) / 1e6,
            start.get("kill_grace_us", 5_000_000) / 1e6,
        )
        self._timed_out = False
        self.kept = False
        """The flow process has ended this attempt, and is fit for the next one."""
        self._status: int | None = None
        # For four descriptors: asking for them costs less than another object of the kernel for each attempt.
        self._selector = selectors.PollSelector()
        self._splitters = {"stdout": LineSplitter(), "stderr": LineSplitter()}
        self._sources: dict[int, Callable[[], bool]] = {}
        self._unwatched = False
        """The flow's socket is one of them and yet not asked for: facts have no room."""

    def run(self) -> None:
        """Returns when the last fact is durable. Then the flow process is dead, or `kept`."""
        self._listen_to(self._flow)
        self._listen_to_signals()
        while self._status is None and not self.kept:
            self._turn()
        code = 0
        if self._status is not None:
            code = os.waitstatus_to_exitcode(self._status)
            self._end_the_rest()
        self._drain()
        if not self.kept:
            self._run_hooks(code)
        self._finish(code)
        self._selector.close()

    def _listen_to(self, flow: FlowProcess) -> None:
        sources = {
            flow.sock.fileno(): self._read_frames,
            flow.stdout: self._reader_of("stdout", flow.stdout),
            flow.stderr: self._reader_of("stderr", flow.stderr),
        }
        for fd in sources:
            self._selector.register(fd, selectors.EVENT_READ)
        self._sources |= sources

    def _listen_to_signals(self) -> None:
        # Caught once the flow runs: it was forked without handlers.
        signals = self._signals = self._signals or Signals()

        def woken() -> bool:
            signals.clear()
            self._reap()
            return True

        self._selector.register(signals, selectors.EVENT_READ)
        self._sources[signals.fileno()] = woken
        self._reap()  # the flow may have ended before anybody listened

    def _reap(self) -> None:
        for pid, status in processes.reap():
            if pid == self._flow.pid:
                self._status = status

    # One turn: take what is there, decide, make it durable as one group.

    def _turn(self) -> None:
        self._watch_socket()
        for key, _ in self._selector.select(self._timeout(clock.monotonic())):
            self._read(key.fd)
        now = clock.monotonic()
        self._step_cancel(now)
        if self._intake.idle:
            self._keep_or_let_go()
        due = self._intake.let_starts_go(now)
        if due or self._intake.save_at is None or now >= self._intake.save_at:
            self._save(now)

    def _read(self, fd: int) -> None:
        """Takes what one source has; forgets it once it has ended."""
        if not self._sources[fd]():
            del self._sources[fd]
            self._selector.unregister(fd)

    def _watch_socket(self, *, anyhow: bool = False) -> None:
        """While facts have no room on the disk, frames stay in the socket, and the flow waits."""
        fd, unwatched = self._flow.sock.fileno(), self._store.blocked and not anyhow
        if unwatched == self._unwatched or fd not in self._sources:
            return
        self._unwatched = unwatched
        if self._unwatched:
            self._selector.unregister(fd)
        else:
            self._selector.register(fd, selectors.EVENT_READ)

    def _timeout(self, now: float) -> float | None:
        deadlines = (
            self._intake.next_start_at(),
            self._cancel.next_at,
            self._store.look_at,
            self._intake.time_up_at,
            self._intake.save_at,
        )
        nearest = min((at for at in deadlines if at is not None), default=None)
        return None if nearest is None else max(0.0, nearest - now)

    def _step_cancel(self, now: float) -> None:
        asked, kill = self._signals.take() if self._signals else (0, False)
        effects: list[Signal] = []
        events: list[CancelEvent] = ["asked"] * (asked + self._time_is_up(now))
        events += ["kill"] * kill
        for event in (*events, "tick"):
            self._cancel, more = cancel_step(self._cancel, now, event)
            effects += more
        for effect in effects:
            match effect.target:
                case "process":
                    processes.signal_each([self._flow.pid], effect.number)
                case "group":
                    processes.signal_group(self._flow.pid, effect.number)
                case "tree":
                    processes.signal_each(processes.descendants(os.getpid()), effect.number)

    def _keep_or_let_go(self) -> None:
        """The flow process has told its end and offers to take another run."""
        self._intake.idle = False
        fit = self._agent is not None and self._intake.ended.get("outcome") in REUSABLE
        if fit and not self._cancel.asked and processes.has_only_child(self._flow.pid):
            self.kept = True
        else:
            self._flow.let_go()

    @property
    def files(self) -> dict[str, Any]:
        """What the flow process has imported in this attempt, as `changed` takes it."""
        return self._intake.files

    def _time_is_up(self, now: float) -> bool:
        """Once, at the attempt's own deadline; it is then stopped as a cancel stops it."""
        if self._intake.time_up_at is None or now < self._intake.time_up_at:
            return False
        self._intake.time_up_at = None
        self._timed_out = not self._cancel.asked and not self._intake.ended
        return self._timed_out

    # Taking in. A reader returns False when its source has ended.

    def _read_frames(self) -> bool:
        try:
            data = self._flow.sock.recv(READ)
            frames = self._frames.feed(data)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        except FrameTooLarge as error:
            self._intake.note(f"The flow process was ended: it sent {error}.")
            processes.signal_group(self._flow.pid, signal.SIGKILL)
            return False
        now = clock.monotonic()
        for raw in frames:
            self._intake.take(raw, now)
        return bool(data)

    def _reader_of(self, name: str, fd: int) -> Callable[[], bool]:
        def read() -> bool:
            try:
                data = os.read(fd, READ)
            except BlockingIOError:
                return True
            self._intake.lines(name, self._splitters[name].feed(data))
            return bool(data)

        return read

    def _save(self, now: float, *, ending: bool = False) -> bool:
        self._intake.let_ranges_go()
        self._intake.save_at = None
        saved = self._store.save(now, clock.now_us(), ending=ending)
        if saved and self._intake.to_confirm:
            for call in self._intake.to_confirm:
                with contextlib.suppress(OSError):  # nobody listens any more
                    self._flow.sock.send(pack({"type": "durable", "call": call}))
            self._intake.to_confirm.clear()
        return saved

    # The end: nothing of the attempt lives on, nothing it said is lost.

    def _end_the_rest(self) -> None:
        """Kills what the flow process left behind. Orphans are our children, so no child left means nobody left."""
        processes.signal_group(self._flow.pid, signal.SIGKILL)
        deadline = clock.monotonic() + LAST_KILL
        while processes.has_children() and clock.monotonic() < deadline:
            processes.signal_each(processes.descendants(os.getpid()), signal.SIGKILL)
            for key, _ in self._selector.select(KILL_ROUND):
                self._read(key.fd)
            self._reap()

    def _run_hooks(self, code: int) -> None:
        """Starts one more process for the flow's hooks, if its own died before it could run them."""
        outcome, _ = decide_exit(
            self._intake.ended.get("outcome"), code, self._cancel, timed_out=self._timed_out
        )
        if outcome not in self._intake.hooks or outcome == self._intake.ended.get("outcome"):
            return
        for fd in (self._flow.sock.fileno(), self._flow.stdout, self._flow.stderr):
            if self._sources.pop(fd, None) is not None:
                self._selector.unregister(fd)
        told = {"state": outcome, "message": f"its process ended {ending(code)}"}
        try:
            flow = start_flow({**self._start, "hooks": told}, self._child, self._inherited)
        except OSError as error:
            self._intake.note(f"The hooks for {outcome} could not be run: {error}.")
            return
        flow.go()
        self._flow, self._status = flow, None
        self._frames = FrameSplitter()
        self._listen_to(flow)
        self._wait_for_hooks(outcome, self._signals or Signals())

    def _inherited(self) -> None:
        """In a child: what it must not have."""
        self._store.leave()
        if self._agent is not None:
            self._agent.close()

    def _wait_for_hooks(self, outcome: str, signals: Signals) -> None:
        signals.take()
        deadline = clock.monotonic() + HOOKS_S
        while self._status is None and not signals.any:
            left = deadline - clock.monotonic()
            if left <= 0:
                self._intake.note(
                    f"The hooks for {outcome} took longer than {HOOKS_S:g} s, and were ended."
                )
                break
            for key, _ in self._selector.select(left):
                self._read(key.fd)
            self._save(clock.monotonic(), ending=True)
        self._end_the_rest()
        self._drain()

    def _finish(self, code: int) -> None:
        # Lines first: the last fact tells how many there are.
        self._store.output.write(clock.now_us(), room=True)
        self._store.output.sync()
        self._intake.let_ranges_go()
        self._intake.let_all_starts_go()
        self._store.writer.append([encode_last(self._exited(code))])
        while not self._save(clock.monotonic(), ending=True):
            # Facts wait for room however long it takes: an exit that is not told would be asked for for ever.
            self._selector.select(1.0)
        self._store.finish()

    def _drain(self) -> None:
        """Reads what is left in the socket and the pipes. Stops at what would block: a process that escaped
        (where the platform lets it) may hold an end open for ever.
        """
        self._watch_socket(anyhow=True)
        deadline = clock.monotonic() + LAST_KILL
        rounds = 0
        while (ready := self._selector.select(0)) and clock.monotonic() < deadline:
            if rounds:  # the first takes what socket and pipes hold; what goes on to come is not kept in memory
                self._save(clock.monotonic(), ending=True)
            for key, _ in ready:
                self._read(key.fd)
            rounds += 1
        for name, splitter in self._splitters.items():
            self._intake.lines(name, splitter.finish())

    def _exited(self, code: int) -> dict[str, Any]:
        told = self._intake.ended
        ended = told.get("outcome")
        outcome, cause = decide_exit(ended, code, self._cancel, timed_out=self._timed_out)
        frame = {
            "type": "attempt.exited",
            "at_us": clock.now_us(),
            "outcome": outcome,
            "cause": cause,
            "lines": self._store.output.lines,
            "started_at_us": self._intake.started_at_us,
        }
        frame |= {"signal": -code} if code < 0 else {"exit_code": code}
        if self._store.output.dropped:  # not even their marker found room
            frame["dropped_lines"] = self._store.output.dropped
        if outcome == ended:  # this fact alone decides what becomes of the run
            frame |= {name: told[name] for name in ("result", "error", "waits") if name in told}
        elif cause == TIMED_OUT:  # the flow itself could not tell it any more
            message = f"the flow took longer than its timeout of {self._intake.timeout_s:g} s, and was stopped"
            frame["error"] = {"class": "headway.TimedOut", "message": message, "traceback": []}
        return frame
