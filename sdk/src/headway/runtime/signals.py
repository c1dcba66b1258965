"""The signals that a supervisor takes. They only leave notes here; its loop acts on them."""

import contextlib
import os
import signal

from headway.runtime.handlers import set_handler

CAUGHT = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)


class Signals:
    """`asked`: how many SIGTERMs came since somebody looked; `kill`: a SIGQUIT came. Main thread only, once a process."""

    def __init__(self) -> None:
        self.asked = 0
        self.kill = False
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in CAUGHT:
            set_handler(number, self._note)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    @property
    def any(self) -> bool:
        """Whether somebody wants the process to end what it does."""
        return self.asked > 0 or self.kill

    def fileno(self) -> int:
        """Readable when a signal has come, dead children included."""
        return self._read_end

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def take(self) -> tuple[int, bool]:
        """What was asked since the last time."""
        taken = self.asked, self.kill
        self.asked, self.kill = 0, False
        return taken

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGTERM:
            self.asked += 1
        elif number == signal.SIGQUIT:
            self.kill = True
