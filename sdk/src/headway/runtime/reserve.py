"""A little disk space kept back, so that the last facts of an attempt can be written on a full disk."""

import contextlib
import errno
import os
from collections.abc import Callable

SIZE = 2 << 20
FACTS = 256 << 10
"""How much of the freed reserve facts may take while the flow goes on; the rest is for the end."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reserve:
    """A file of `SIZE` bytes, emptied when the disk is full or the attempt over, filled again when there is room.

    Emptied, not deleted: for seconds after a deletion ext4 passes by the freed inode, and makes every new file on that disk
    look through all of them. One deletion an attempt was a sixth of what a short attempt costs.
    """

    def __init__(self, make: Callable[[], int], size: int = SIZE) -> None:
        """`make` gives the descriptor of an empty file, once it is needed."""
        self._make = make
        self._size = size
        self._fd: int | None = None
        self._kept = False
        self.facts_left = 0

    @property
    def kept(self) -> bool:
        return self._kept

    def keep(self) -> bool:
        """Takes the space, if the disk has it."""
        if self._kept:
            return True
        try:
            if self._fd is None:
                self._fd = self._make()
            _allocate(self._fd, self._size)
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

    def close(self) -> None:
        """In a process that is not to have it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _empty(self) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)


class CommonReserve:
    """One for all attempts of a template: for the end of such as have none of their own, most of them over within
    milliseconds. Each supervisor has it open.
    """

    def __init__(self, fd: int | None = None, size: int = SIZE) -> None:
        """Without `fd` there is none."""
        self._fd = fd
        self._size = size

    @classmethod
    def on_disk_of(cls, folder: str, size: int = SIZE) -> "CommonReserve":
        """None where the file cannot be made."""
        try:
            reserve = cls(unnamed_in(folder), size)
        except OSError:
            return cls()
        reserve.fill()
        return reserve

    def fill(self) -> None:
        """Takes the space, if it was given free and there is room for it."""
        if self._fd is None or os.fstat(self._fd).st_size:
            return
        try:
            _allocate(self._fd, self._size)
        except OSError:
            os.ftruncate(self._fd, 0)

    def release(self) -> bool:
        """Gives the space free; False when somebody did before."""
        if self._fd is None or not os.fstat(self._fd).st_size:
            return False
        os.ftruncate(self._fd, 0)
        return True

    def close(self) -> None:
        """In a process that is not to have it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def named(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def unnamed_in(folder: str) -> int:
    """A file that goes with the last process that has it open."""
    with contextlib.suppress(AttributeError, OSError):  # neither every platform nor every disk can
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    path = f"{folder}/reserve.{os.getpid()}"
    fd = named(path)
    os.unlink(path)  # noqa: PTH108 - as it was opened
    return fd


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except (AttributeError, OSError) as error:
        # Neither every platform nor every file system has it; what is written is taken too.
        if isinstance(error, OSError) and error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
        block = bytes(1 << 16)
        os.lseek(fd, 0, os.SEEK_SET)
        for _ in range(size // len(block)):
            os.write(fd, block)
