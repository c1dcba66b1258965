"""Frames of a flow process to its supervisor, and what becomes of them on the way to the control plane.

Whatever user code writes into the socket: the supervisor goes on to the exit, every fact it keeps is read by both readers of
`frames.log`, and the agent's encoder has a fact of the wire for each.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from fuzz import mutation
from fuzz.corpus import Script
from fuzz.harness import Finding, Target
from headway.runtime import clock
from headway.runtime.flow_process import FlowProcess
from headway.runtime.frames_log import MAX_FRAME, Writer, encode_frame, read
from headway.runtime.reserve import CommonReserve, Reserve, named
from headway.runtime.start import no_faults
from headway.runtime.store import Store, Wake, hints
from headway.runtime.supervisor import Supervisor
from headway_agent.connection.encoder import Encoded, Encoder
from headway_agent.connection.permits import permits_of
from headway_agent.spool.frames import FactLog
from headway_control_plane.application.ports import AttemptFacts, Fact
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import PreparedFacts, prepare
from support.fake_control_plane import ALL_PERMITS

EXAMPLES = Path(__file__).parents[2] / "proto/headway_api/ipc/v1/examples"
# A piece that begins so is written to the socket as it is; any other gets a right length in front.
RAW = b"raw:"
TURNS = 10_000


# The agent does not check how a wanted run is named: who names another one is no flow process of ours, and gets none.
_OTHERS_ID = "does not name the run as it is to be named"


class Frames(Target):
    """The supervisor in this process, with a socket whose other end is ours and a child that it may kill."""

    name = "frames"
    traced = ("headway.runtime.supervisor", "headway.runtime.framing", "headway.runtime.decisions", "headway_agent.connection.encoder")  # fmt: skip

    def __init__(self, _database_url: str = "") -> None:
        self._child: subprocess.Popen[bytes] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._encoder = Encoder(permits_of(ALL_PERMITS))
        try:
            with tempfile.TemporaryDirectory(dir=quick_folder()) as folder:
                self._folder = Path(folder)
                self._number = 0
                yield
        finally:
            self._end_child()

    def seeds(self) -> Iterable[Script]:
        examples = {path.stem: path.read_bytes() for path in sorted(EXAMPLES.glob("*.json"))}
        spoken = {
            name: json.dumps(json.loads(text)).encode()
            for name, text in examples.items()
            if not name.startswith(("ready", "refused", "spawn"))
        }
        yield tuple(spoken.values())
        for name, frame in spoken.items():
            yield (
                (spoken["attempt.started"], frame, spoken["attempt.ended.completed"])
                if name
                else ()
            )

    def mutate(self, random: Random, script: Script) -> Script:
        chance = random.random()
        if chance < 0.15:
            return mutation.order(random, script)
        if chance < 0.3:
            framed = b"".join(map(_framed, script))
            return (RAW + mutation.bytes_(random, framed),)
        if chance < 0.35:
            return mutation.one_piece(random, script, _enlarge)
        return mutation.one_piece(random, script, mutation.json_)

    async def execute(self, script: Script) -> Hashable:
        self._number += 1
        run_dir = self._folder / str(self._number)
        run_dir.mkdir()
        try:
            self._supervise(run_dir, script)
        except Exception as error:
            raise Finding.of("the supervisor failed", error) from error
        return self._judge(run_dir)

    def _supervise(self, run_dir: Path, script: Script) -> None:
        with ExitStack() as stack:
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            streams = [os.pipe(), os.pipe()]
            for read_end, _ in streams:
                stack.callback(os.close, read_end)
            ours.settimeout(0)
            flow = FlowProcess(self._living_child(), ours, *(read_end for read_end, _ in streams))
            wake = Wake(stack.enter_context(hints()), "", "")
            writer = Writer.create(run_dir / "frames.log")
            writer.append([encode_frame({"type": "attempt.starting", "pid": 1, "start_time": 1})])
            reserve = Reserve(lambda: named(f"{run_dir}/reserve"))
            stack.callback(reserve.close)
            store = Store(str(run_dir), writer, wake, reserve, CommonReserve(), no_faults)
            supervisor = Supervisor({}, flow, store, 0, _no_child)
            stack.callback(supervisor._selector.close)
            supervisor._listen_to(flow)
            try:
                _speak(supervisor, theirs, b"".join(map(_framed, script)))
            finally:
                theirs.close()
                for _, write_end in streams:
                    os.close(write_end)
            supervisor._drain()
            supervisor._finish(0)

    def _judge(self, run_dir: Path) -> Hashable:
        facts = FactLog(run_dir / "frames.log")
        try:
            count = facts.scan()
            records = facts.read(0, count + 1, 1 << 30)
            encoded = [self._encoder.encode(record.raw) for record in records]
            refused = {
                seq: why for seq, why in prepared(encoded).bad.items() if _OTHERS_ID not in str(why)
            }
            output = run_dir / "output.log"  # comes with its first line
            lines = output.read_bytes().splitlines() if output.exists() else []
            for line in lines:
                json.loads(line)
            seen = [frame for _, frame in read(run_dir / "frames.log")]
        except Exception as error:
            raise Finding.of("what was kept can't be read", error) from error
        if refused:
            raise Finding(f"the control plane would refuse what the agent sends: {refused}")
        if facts.exited is None:
            raise Finding("the exit is lost")
        if facts.size != (run_dir / "frames.log").stat().st_size or len(seen) != count:
            raise Finding("what was kept can't be read to its end")
        return tuple(sorted({fact.type for fact in encoded})), encoded[-1].payload, bool(lines)

    def _living_child(self) -> int:
        """What a supervisor may kill: a process in a group of its own."""
        if self._child is not None and self._child.poll() is not None:
            self._end_child()
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
            )
        return self._child.pid

    def _end_child(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGKILL)
            self._child.wait()
            self._child = None


def _no_child(_start: dict[str, Any], _sock: socket.socket) -> int:
    raise AssertionError("nothing is started here")


def _speak(supervisor: Supervisor, theirs: socket.socket, data: bytes) -> None:
    """Feeds it as a flow process does, a socket's fill at a time, in turns as the supervisor's loop takes them."""
    theirs.setblocking(False)
    for _ in range(TURNS):
        with suppress(BlockingIOError, BrokenPipeError):
            data = data[theirs.send(data[:65536]) :] if data else data
        if not supervisor._read_frames() or not data:
            break
        now = clock.monotonic()
        supervisor._step_cancel(now)
        supervisor._timeout(now)
        supervisor._intake.let_starts_go(now)
        supervisor._save(now)
    else:
        raise Finding("the supervisor reads for ever")


def prepared(encoded: list[Encoded]) -> PreparedFacts:
    """The facts as the control plane takes them in."""
    facts = [Fact(e.type, 1, e.occurred_at_us, e.payload) for e in encoded]
    blobs = [Blob(digest, content) for fact in encoded for digest, content in fact.blobs]
    received = AttemptFacts(UUID(int=1), 1, 1, facts, blobs)
    return prepare(received, EventIds(lambda: 1, os.urandom))


def quick_folder() -> Path | None:
    """Where syncing costs nothing, if the system has such a place."""
    return next((folder for folder in (Path("/dev/shm"),) if folder.is_dir()), None)


def _framed(piece: bytes) -> bytes:
    if piece.startswith(RAW):
        return piece.removeprefix(RAW)
    return len(piece).to_bytes(4, "big") + piece


def _enlarge(random: Random, frame: bytes) -> bytes:
    """A frame about as large as frames may be."""
    try:
        document: dict[str, Any] = json.loads(frame)
    except (ValueError, RecursionError):
        return frame
    if not isinstance(document, dict):
        return frame
    room = MAX_FRAME - len(frame) + random.choice((-4_000, -200, -60, -20, -12, -8, 0, 1))
    name = random.choice(("text", "result", "error", "extra", "call"))
    return json.dumps(document | {name: random.choice(("x", "\x01")) * max(room, 0)}).encode()
