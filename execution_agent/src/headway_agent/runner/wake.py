"""The wake socket: supervisors send `<run>/<fence>/<end>` here when an attempt has something new. Hints; the files are the truth."""

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from headway_agent.runner.api import AttemptKey

MOST_PATH = 100
"""The kernel takes 104 to 108 bytes, NUL included."""
_MOST_AT_ONCE = 1_000


class UnsafeSocketDirectory(Exception):
    """Somebody else made the directory of the wake socket, or its path is too long."""


def socket_path(state_dir: Path) -> Path:
    """A short path that depends on the state directory alone: supervisors know it across restarts of the agent."""
    name = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"headway-{os.getuid()}-{name}" / "wake"
    if len(os.fsencode(path)) > MOST_PATH:
        raise UnsafeSocketDirectory(
            f"{path} is too long for a socket. Set TMPDIR to a shorter directory."
        )
    return path


def cache_socket_path(state_dir: Path) -> Path:
    """Beside the wake socket: where flows ask for results in the cache that agents share."""
    return socket_path(state_dir).with_name("cache")


class WakeSocket:
    """Receives the hints. The caller holds the lock of the state directory, so an old socket is a dead one's."""

    def __init__(self, path: Path, on_wake: Callable[[AttemptKey, int], None]) -> None:
        self._path = path
        self._on_wake = on_wake
        _make_private(path.parent)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.bind(str(path))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):  # read empty
            for _ in range(_MOST_AT_ONCE):
                match self._socket.recv(512).decode(errors="replace").split("/"):
                    case [run, fence, *durable] if fence.isdecimal():
                        self._on_wake(AttemptKey(run, int(fence)), _number(durable))
                    case _:
                        pass  # anybody of this user may write here; the sweep finds what nobody tells


def _number(said: list[str]) -> int:
    return int(said[0]) if said and said[0].isdecimal() else 0


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    stat = directory.lstat()
    if (
        not directory.is_dir()
        or directory.is_symlink()
        or stat.st_uid != os.getuid()
        or stat.st_mode & 0o077
    ):
        raise UnsafeSocketDirectory(
            f"{directory} belongs to somebody else or is open to others. Remove it, then start again."
        )
