"""The first steps of an attempt in its run directory, and the last word of a supervisor that could not go on."""

import contextlib
import os
import signal
import socket
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.runtime import clock, processes
from headway.runtime.flow_process import FlowProcess
from headway.runtime.frames_log import MAX_FRAME, Writer, encode_frame, sync_name
from headway.runtime.reserve import CommonReserve, Reserve, named
from headway.runtime.start import PROTOCOL, PROTOCOL_MIN, Faults, ranges
from headway.runtime.store import Store, Wake, hints

LOST = 70
"""Exit code of a supervisor that could not go on."""


@dataclass
class LastingFiles:
    """What a supervisor opens once, for all attempts that it has."""

    reserve: Reserve
    hints: socket.socket = field(default_factory=hints)


def announce(start: dict[str, Any], writer: Writer, sdk: str, fault: Faults) -> None:
    """Writes `attempt.starting`. Durable before anything runs, so that nothing is ever executed twice."""
    starting = {
        "type": "attempt.starting",
        "at_us": clock.now_us(),
        "run": start["run"],
        "fence": start["fence"],
        "pid": os.getpid(),
        "start_time": processes.own_start_time(),
        "boot_id": processes.boot_id(),
        "protocol": PROTOCOL if ranges(start) else PROTOCOL_MIN,
        "sdk": sdk,
    }
    writer.append([encode_frame(starting)])
    fault("before_starting_durable")
    writer.commit()
    sync_name(f"{start['run_dir']}/frames.log")
    fault("after_starting")


def encode_last(exited: dict[str, Any]) -> bytes:
    """Together with what it repeats of the end it may be larger than a frame can be; then it goes bare."""
    raw = encode_frame(exited)
    if len(raw) <= MAX_FRAME:
        return raw
    return encode_frame({k: v for k, v in exited.items() if k not in {"result", "error"}})


def open_store(
    start: dict[str, Any],
    writer: Writer,
    faults: Faults,
    common: CommonReserve,
    lasting: LastingFiles | None = None,
) -> Store:
    """`lasting`: what the supervisor has from the attempt before."""
    run_dir = start["run_dir"]
    sock = hints() if lasting is None else lasting.hints
    reserve = Reserve(lambda: named(f"{run_dir}/reserve")) if lasting is None else lasting.reserve
    wake = Wake(sock, start.get("wake", ""), f"{start['run']}/{start['fence']}")
    store = Store(run_dir, writer, wake, reserve, common, faults)
    wake.send(writer.durable)
    return store


@contextlib.contextmanager
def nothing_left_behind(start: dict[str, Any], flow: FlowProcess) -> Iterator[None]:
    """Without a supervisor nobody records anything: what still runs would be lost work. The agent sees the free lock of
    frames.log and closes the attempt.
    """
    try:
        yield
    except BaseException as error:
        processes.signal_group(flow.pid, signal.SIGKILL)
        processes.signal_each(processes.descendants(os.getpid()), signal.SIGKILL)
        note_failure(start["run_dir"])
        raise SystemExit(LOST) from error


def note_failure(run_dir: str) -> None:
    """Leaves the error that is being handled where whoever asks why finds it."""
    with contextlib.suppress(OSError):
        (Path(run_dir) / "supervisor.err").write_text(traceback.format_exc())
