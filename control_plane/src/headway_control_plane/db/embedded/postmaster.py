"""What PostgreSQL's own pid file says, and how to clear the way when an earlier server left it behind."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from headway_control_plane.db.errors import ServerFailed

_PID_FILE = "postmaster.pid"
_STATUS_LINE = 7
_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "exe").exists()
_PAUSE = 0.02
_SURVIVOR_PATIENCE = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


def is_ready(data: Path) -> bool:
    """Return whether the server says that it takes connections."""
    lines = _pid_file_lines(data)
    return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


def clear_the_way(data: Path) -> None:
    """Stop what an earlier owner left running and forget its pid file. Only the holder of the owner lock may call this.

    PostgreSQL would refuse to start beside a survivor, and would take any process that was given the old server's
    number since then, after a reboot say, for one.
    """
    pid = _recorded_pid(data)
    if pid is not None and _is_server(pid, data):
        _stop(lambda: _is_server(pid, data), lambda number: os.kill(pid, number), data)
    _stop_orphans(data)
    (data / _PID_FILE).unlink(missing_ok=True)


def _stop_orphans(data: Path) -> None:
    """End backends whose postmaster was killed: one in a long statement does not notice by itself."""

    def signal_all(number: int) -> None:
        for pid in _orphans(data):
            with suppress(ProcessLookupError):  # gone by itself
                os.kill(pid, number)

    if any(_orphans(data)):
        # INT would only cancel a backend's statement.
        _stop(lambda: any(_orphans(data)), signal_all, data, patience=_SURVIVOR_PATIENCE[1:])


def _stop(
    alive: Callable[[], bool],
    send: Callable[[int], None],
    data: Path,
    *,
    patience: tuple[tuple[int, float], ...] = _SURVIVOR_PATIENCE,
) -> None:
    for number, seconds in patience:
        with suppress(ProcessLookupError):  # gone between the look and the signal
            send(number)
        if _wait_until(lambda: not alive(), seconds):
            return
    raise ServerFailed(
        f"A PostgreSQL server that an earlier run left on {data} does not end.",
        next_step=f"Look at it with: ps -fp $(head -1 {data / _PID_FILE})",
    )


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause.wait(_PAUSE)
    return True


def _pid_file_lines(data: Path) -> list[str]:
    try:
        return (data / _PID_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []


def _recorded_pid(data: Path) -> int | None:
    lines = _pid_file_lines(data)
    with suppress(ValueError, IndexError):  # torn or empty: nobody can be told from it
        return int(lines[0])
    return None


def _is_server(pid: int, data: Path) -> bool:
    """Return whether that process is alive, no zombie, and a PostgreSQL server in that directory."""
    if _HAS_PROC:
        return _works_in(_PROC / str(pid), data)
    listing = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return (
        "postgres" in listing.stdout
        and str(data) in listing.stdout
        and not listing.stdout.startswith("Z")
    )


def _orphans(data: Path) -> Iterator[int]:
    """Yield PostgreSQL processes at work in the directory; only Linux can tell, elsewhere they end by themselves."""
    if not _HAS_PROC:
        return
    for process in _PROC.iterdir():
        if process.name.isdigit() and _works_in(process, data):
            yield int(process.name)


def _works_in(process: Path, data: Path) -> bool:
    """Return whether a process is a PostgreSQL program whose working directory is the data directory."""
    try:
        program, folder = (process / "exe").readlink(), (process / "cwd").readlink()
    except OSError:  # gone, a zombie, or somebody else's
        return False
    return program.name.startswith("postgres") and folder == data.resolve()
