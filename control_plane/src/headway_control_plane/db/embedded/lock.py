"""One owner per home: an flock that ends with the process that holds it."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from headway_control_plane.db.errors import OwnedElsewhere


class OwnerLock:
    """Held from construction to `release`, or until the process dies in whatever way."""

    def __init__(self, path: Path) -> None:
        # Python opens files non-inheritable: no child can keep the lock alive.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise _refusal(path.parent, owner) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        # The file stays: removing it would let two processes hold locks on two files of one name.
        with suppress(OSError):  # already closed
            os.close(self._file)


def _refusal(home: Path, owner: str) -> OwnedElsewhere:
    process = f"process {owner}" if owner else "another process"
    stop = f"kill {owner}" if owner else "stop that process"
    return OwnedElsewhere(
        f"{home} is already in use by {process}.",
        next_step=f"Stop it (Ctrl-C in its terminal, or: {stop}), or choose another place: HEADWAY_HOME=DIR headway up",
    )
