"""The processes of a ProcessRunner, seen from the flow's process: handed work, listened to, killed when they are late.

The flow's process alone speaks to the supervisor: what is reported in a worker comes over its socket and is passed on.
Workers are forked by a process that was forked itself before the flow's first line, so no fork finds a second thread.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

from headway.context import current_call
from headway.errors import HeadwayError, WorkerDied
from headway.runners import Handle, Work
from headway.runtime.decisions import ending
from headway.runtime.engine import JournalEngine
from headway.runtime.forks import Nursery
from headway.runtime.framing import pack
from headway.runtime.messages import Message, MessageReader, send_message

_READ = 64 * 1024


class Workers:
    """A run's processes. Each executes one call at a time, and the engine's pool bounds them; one that died is replaced when it is needed."""

    def __init__(self) -> None:
        root = current_call()
        assert root is not None, "a runner is opened by the run that uses it"
        assert isinstance(root.engine, JournalEngine)
        self._channel = root.engine.channel
        self._nursery = Nursery()
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()

    def submit(self, work: Work) -> Handle:
        body = _pickled(work)
        worker = self._take()
        worker.begin(work.name, body)
        return worker.handle(self)

    def close(self) -> None:
        """Workers end with their sockets; what is still at work is killed."""
        with self._lock:
            workers, idle = list(self._all), set(self._idle)
        for worker in workers:
            if worker not in idle:
                worker.signal(signal.SIGKILL)
            worker.sock.close()
        self._nursery.close()

    def release(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def bury(self, worker: Worker) -> int:
        """Takes a dead worker out; its exit code, or minus the signal."""
        with self._lock:
            self._all.discard(worker)
        worker.sock.close()
        with self._lock:
            return self._nursery.exit_code(worker.pid)

    def pass_on(self, worker: Worker, frame: bytes) -> None:
        """A fact or a log line. Whoever asks for durability there waits for its answer as anywhere."""
        call = self._channel.pass_on(frame)
        if call:
            with suppress(OSError):  # it is dead, which whoever waits for it will see
                worker.sock.sendall(pack({"type": "durable", "call": call}))

    def _take(self) -> Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            worker = Worker(*self._nursery.fork())
            self._all.add(worker)
            return worker


def _pickled(work: Work) -> bytes:
    try:
        return pickle.dumps(work, protocol=5)
    except Exception as error:
        # Pickling runs code of the arguments' types, which may raise anything.
        raise TypeError(
            f"{work.name} cannot be handed to another process: {error}. Its arguments must be picklable and the task"
            " must stand at the top of a module; or run it with a ThreadRunner"
        ) from error


class Worker:
    """One process and the socket to it."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.sock = sock
        self.name = ""
        self._messages = MessageReader()

    def begin(self, name: str, body: bytes) -> None:
        self.name = name
        with suppress(OSError):  # it is dead, which whoever waits for it will see
            send_message(self.sock, Message.WORK, body)

    def handle(self, workers: Workers) -> Handle:
        return _Handle(workers, self)

    def signal(self, number: int) -> None:
        # Nobody else can have its pid before the nursery was asked for its exit code.
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def receive(self, timeout: float | None) -> list[tuple[Message, bytes]] | None:
        """Messages that have come; empty after `timeout` seconds without any, None when it has died."""
        ready, _, _ = select.select([self.sock], [], [], timeout)
        if not ready:
            return []
        try:
            data = self.sock.recv(_READ)
        except OSError:
            return None
        return self._messages.feed(data) if data else None


class _Handle:
    """One call in one worker. `wait` and `result` belong to the thread that submitted it."""

    def __init__(self, workers: Workers, worker: Worker) -> None:
        self._workers = workers
        self._worker = worker
        self._lock = threading.Lock()
        self._ended = False
        self._value: Any = None
        self._error: BaseException | None = None

    def wait(self, timeout: float | None) -> bool:
        deadline = float("inf") if timeout is None else monotonic() + timeout
        while not self._ended:
            left = deadline - monotonic()
            messages = self._worker.receive(None if timeout is None else max(0.0, left))
            if messages is None:
                self._died()
            elif not messages and left <= 0.0:
                return False
            for kind, body in messages or ():
                self._take(kind, body)
        return True

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self, *, force: bool) -> None:
        with self._lock:
            if not self._ended:
                self._worker.signal(signal.SIGKILL if force else signal.SIGUSR1)

    def _take(self, kind: Message, body: bytes) -> None:
        if kind is Message.FRAME:
            self._workers.pass_on(self._worker, body)
            return
        try:
            outcome = pickle.loads(body)  # noqa: S301 - it comes from our own process
        except Exception as error:  # noqa: BLE001 - its class may refuse to be made again, in any way
            outcome = HeadwayError(
                f"the outcome of {self._worker.name} cannot be read here: {error!r}"
            )
            kind = Message.ERROR
        with self._lock:
            self._ended = True
        if kind is Message.ERROR:
            self._error = outcome
        else:
            self._value = outcome
        self._workers.release(self._worker)

    def _died(self) -> None:
        with self._lock:
            self._ended = True
        code = self._workers.bury(self._worker)
        self._error = WorkerDied(f"the process of {self._worker.name} ended {ending(code)}")
