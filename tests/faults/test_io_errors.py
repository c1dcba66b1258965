"""The N-th write or sync of an attempt's facts fails, for every N until none is left to fail: what was confirmed is there afterwards."""

import errno
import os

import pytest

from headway.runtime import frames_log
from headway.runtime.frames_log import FramesLogBroken, Writer, read

pytestmark = [pytest.mark.row(13)]
GROUPS = [[b'{"n":%d}' % (10 * group + n) for n in range(group % 3 + 1)] for group in range(6)]
BROKEN = "the file takes no more"


class Failing:
    """Stands before the system calls of the writer: the `at`-th one fails. `torn`: a write that fails leaves its first half."""

    def __init__(self, at, error, *, torn):
        self.at, self.error, self.torn = at, error, torn
        self.calls = 0
        self.failed = False
        self._write = os.write

    def _count(self):
        self.calls += 1
        if self.calls == self.at:
            self.failed = True
            return True
        return False

    def _fail(self):
        raise OSError(self.error, os.strerror(self.error))

    def write(self, fd, data):
        if not self._count():
            return self._write(fd, data)
        if self.torn:
            self.torn, self.at = False, self.at + 1  # the rest of it fails
            return self._write(fd, data[: len(data) // 2])
        return self._fail()

    def fdatasync(self, fd):
        """Whether anything reached the disk is nobody's business here: the file is read back as it is."""
        if self._count():
            self._fail()


def written(writer):
    """What was confirmed. A full disk is tried again, anything else ends the file."""
    confirmed = 0
    for group in GROUPS:
        writer.append(group)
        for _ in range(2):
            try:
                writer.commit()
            except FramesLogBroken:
                return confirmed, BROKEN
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    return confirmed, BROKEN
                continue
            confirmed += len(group)
            break
    return confirmed, ""


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("torn", [False, True])
def test_every_write_and_sync_of_facts_fails_once(tmp_path, monkeypatch, trial, error, torn):
    lost, at = [], 0
    while True:
        at += 1
        path = tmp_path / f"{at}.log"
        writer = Writer.create(path)
        failing = Failing(at, error, torn=torn)
        with monkeypatch.context() as patch:
            patch.setattr(frames_log.os, "write", failing.write, raising=True)
            patch.setattr(frames_log.os, "fdatasync", failing.fdatasync)
            confirmed, state = written(writer)
        writer.close()
        if not failing.failed:
            break
        trial.happened(f"{errno.errorcode[error]} at the N-th call")
        there = [frame["n"] for _, frame in read(path)]
        everything = [int(raw[5:-1]) for group in GROUPS for raw in group]
        if there[:confirmed] != everything[:confirmed] or there != everything[: len(there)]:
            lost.append(f"call {at}: {confirmed} facts were confirmed, the file holds {there}")
        if not state and there != everything:
            lost.append(f"call {at}: the writer went on, the file holds {there}")
        resumed = Writer.reopen(path)
        if resumed.last != len(there):
            lost.append(f"call {at}: it goes on behind {resumed.last}, not {len(there)}")
        resumed.close()
    trial.holds("2 durable", lost)
    assert confirmed == sum(map(len, GROUPS))
