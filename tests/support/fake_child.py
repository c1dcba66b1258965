"""A flow process without an SDK: does what `parameters["do"]` names. For tests of whatever watches flow processes."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


class Talker:
    """Sends frames and reads confirmations."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, type_: str, **fields: Any) -> None:
        raw = json.dumps({"type": type_, "at_us": time.time_ns() // 1000, **fields}).encode()
        self.sock.sendall(struct.pack(">I", len(raw)) + raw)

    def receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self.sock.recv(4, socket.MSG_WAITALL))
        frame: dict[str, Any] = json.loads(self.sock.recv(length, socket.MSG_WAITALL))
        return frame

    def call(self, call: str, parent: str = "root", **fields: Any) -> None:
        about = {"call": call, "parent": parent, "kind": "task", "name": "t"}
        self.send("call.ended", **about, started_at_us=1, outcome="completed", tries=1, **fields)

    def started(self, call: str, parent: str = "root") -> None:
        self.send("call.started", call=call, parent=parent, kind="task", name="t")


def run_attempt(start: dict[str, Any], sock: socket.socket) -> int:
    talk = Talker(sock)
    talk.send("attempt.started", pid=os.getpid(), python="3")
    do = globals()["do_" + start["parameters"].get("do", "nothing")]
    code: int | None = do(talk, **start["parameters"].get("with", {}))
    if code is None:
        talk.send(
            "attempt.ended",
            outcome="completed",
            result={"codec": "json", "size": 4, "data": "null"},
        )
    return code or 0


def do_nothing(_talk: Talker) -> None:
    pass


def do_refuse(talk: Talker) -> int:
    talk.send(
        "attempt.ended", outcome="refused", error={"class": "EntrypointRefused", "message": "no"}
    )
    return 0


def do_print(_talk: Talker, texts: list[str], ends: list[str] | None = None) -> None:
    for text in texts:
        sys.stdout.write(text + "\n")
    sys.stdout.write("".join(ends or []))


def do_bytes(_talk: Talker, data: str, times: int = 1) -> None:
    for _ in range(times):
        os.write(1, data.encode("latin-1"))


def do_long_line(_talk: Talker, size: int) -> None:
    sys.stdout.write("x" * size + "\nnext\n")


def do_end_on_a_full_disk(talk: Talker, path: str, size: int) -> int:
    """Takes all the room there is, and then says more than fits into what its log has already."""
    with Path(path).open("wb") as filler:
        step = 1 << 20
        while step:
            try:
                os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), step)
            except OSError:
                step //= 2
    result = {"codec": "json", "size": size + 2, "data": f'"{"x" * size}"'}
    talk.send("attempt.ended", outcome="completed", result=result)
    return 0


def do_environ(_talk: Talker) -> None:
    print(
        json.dumps(
            {
                "env": dict(os.environ),
                "cwd": str(Path.cwd()),
                "fds": [entry.name for entry in Path("/proc/self/fd").iterdir()],
            }
        )
    )


def do_calls(talk: Talker, count: int, size: int = 0) -> None:
    for i in range(count):
        talk.started(f"{i:032x}")
        talk.call(f"{i:032x}", pad="x" * size)


def do_log(talk: Talker, text: str) -> None:
    talk.send("log", level="WARNING", call="root", text=text, logger="app")


def do_sync(talk: Talker, count: int) -> None:
    for i in range(count):
        talk.call(f"{i:032x}", durable="sync")
        assert talk.receive() == {"type": "durable", "call": f"{i:032x}"}


def do_exit(_talk: Talker, code: int) -> None:
    os._exit(code)


def do_end_then_exit(talk: Talker, code: int) -> int:
    talk.send("attempt.ended", outcome="completed")
    return code


def do_signal_self(_talk: Talker, number: int) -> None:
    os.kill(os.getpid(), number)


def _ready(talk: Talker) -> None:
    print("ready")
    talk.send("call.retrying", call="ready", parent="root", kind="task", name="t")


def do_wait(talk: Talker) -> None:
    _ready(talk)
    threading.Event().wait()


def do_cooperate(talk: Talker) -> int:
    """Ends in order when asked to."""
    asked = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: asked.set())
    _ready(talk)
    asked.wait()
    talk.send("attempt.ended", outcome="cancelled")
    return 0


def do_ignore_signals(talk: Talker) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"usr1\n"))
    signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"term\n"))
    _ready(talk)
    while True:
        threading.Event().wait(60)


def do_grandchild(talk: Talker, code: int | None = None, count: int = 1) -> int | None:
    """Leaves processes in sessions of their own that hold the streams and ignore what can be ignored."""
    for _ in range(count):
        body = "import signal,time; signal.signal(15, 1); signal.signal(1, 1); print('up', flush=True); time.sleep(600)"
        child = subprocess.Popen(
            [sys.executable, "-c", body], start_new_session=True, stdout=subprocess.PIPE
        )
        assert child.stdout
        child.stdout.readline()
        print(f"pid {child.pid}", flush=True)
        child.returncode = 0  # nobody waits for it
        child.stdout.close()
    _ready(talk)
    return code


def do_grandchild_wait(talk: Talker, count: int = 1) -> None:
    do_grandchild(talk, count=count)
    threading.Event().wait()


def do_forked_daemon(_talk: Talker) -> None:
    """A double fork, as daemons do; it keeps the socket and the streams open. Ends once the daemon has printed."""
    printed_read, printed_write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            print(f"pid {os.getpid()}", flush=True)
            os.write(printed_write, b".")
            threading.Event().wait()
        os._exit(0)
    os.wait()
    os.read(printed_read, 1)


def do_huge_frame(talk: Talker) -> None:
    talk.sock.sendall(struct.pack(">I", 1 << 30) + b"x" * 1000)
    threading.Event().wait()


def do_bad_frames(talk: Talker) -> None:
    for raw in (
        b"not json",
        b"[1]",
        b'{"a":1}',
        b'{"type":"attempt.exited"}',
        b'{"type":"new.kind"}',
        b"\xff\xfe",
    ):
        talk.sock.sendall(struct.pack(">I", len(raw)) + raw)


def do_fill(talk: Talker, path: str, count: int, size: int) -> None:
    """Fills the disk but for a little, once its supervisor keeps room back, then reports."""
    talk.send("call.retrying", call="ready", parent="root", kind="task", name="t", durable="sync")
    talk.receive()
    with Path(path).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    print("lost line")
    do_calls(talk, count, size)
    print("another lost line")


def do_end_then_wait(talk: Talker) -> None:
    """The end is told; the process then waits for its supervisor to be gone."""
    talk.send(
        "attempt.ended", outcome="completed", result={"codec": "json", "size": 4, "data": "null"}
    )
    talk.sock.recv(1)
    threading.Event().wait()


def do_mark_and_wait(talk: Talker, path: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    _ready(talk)
    threading.Event().wait()


def do_mark(_talk: Talker, path: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
