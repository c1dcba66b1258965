"""A little disk space kept back, so that the last facts of an attempt can be written on a full disk."""

import contextlib
import errno
import os
from pathlib import Path

SIZE = 2 << 20
FACTS = 256 << 10
"""How much of the freed reserve facts may take while the flow goes on; the rest is for the end."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reserve:
    """A file of `SIZE` bytes, emptied when the disk is full or the attempt over, filled again when there is room.

    Emptied, not deleted: for seconds after a deletion ext4 passes by the freed inode, and makes every new file on that disk
    look through all of them. One deletion an attempt was a sixth of what a short attempt costs.
    """

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self._path = path
        self._size = size
        self._kept = False
        self.facts_left = 0

    @property
    def kept(self) -> bool:
        return self._kept

    def keep(self) -> bool:
        """Takes the space, if the disk has it."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                _allocate(fd, self._size)
            finally:
                os.close(fd)
        except OSError as error:
            self._empty()
            if error.errno not in FULL:
                raise
            return False
        self._kept = True
        return True

    def release(self) -> bool:
        """Gives the space free; False when that was done before."""
        was_kept, self._kept = self._kept, False
        if was_kept:
            self.facts_left = FACTS
            self._empty()
        return was_kept

    def _empty(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._path, 0)


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except (AttributeError, OSError) as error:
        # Neither every platform nor every file system has it; what is written is taken too.
        if isinstance(error, OSError) and error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
        block = bytes(1 << 16)
        for _ in range(size // len(block)):
            os.write(fd, block)
