"""Waiting for processes that are not our children."""

import os
import select
import subprocess
from pathlib import Path

PATIENCE = 30.0


def wait_gone(pid: int, timeout: float = PATIENCE) -> None:
    """Wait until a process has ended, whoever its parent is. Linux and macOS differ; where the kernel helps, no polling."""
    if not hasattr(os, "pidfd_open"):
        subprocess.run(["caffeinate", "-w", str(pid)], timeout=timeout, check=True)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(timeout * 1000), f"process {pid} still runs after {timeout} s"
    finally:
        os.close(descriptor)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}
