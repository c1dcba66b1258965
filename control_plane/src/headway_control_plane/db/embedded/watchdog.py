"""Run one command and stop it when the owner goes away.

Started by file name with an isolated interpreter (standard library only, nothing of ours) in a session of its own.
Standard input is the owner's pipe: its end, for whatever reason, kill -9 of the owner included, means stop. The
command is a direct child, so that its exit is always collected and no zombie blocks the next start. TERM means stop as
well, QUIT means stop now.

Usage: watchdog.py COMMAND [ARGUMENT ...]
"""

import os
import select
import signal
import sys
import time

# PostgreSQL's own words: INT is a fast stop, QUIT an immediate one. KILL is for a server that answers neither.
ESCALATION = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
OWNER = 0


class Watchdog:
    """The child, and the two things that can happen: it exits, or the owner leaves."""

    def __init__(self, command: list[str]) -> None:
        self._stop_wanted = False
        self._in_haste = False
        self._wake_reader = self._listen_to_signals()
        self._child = os.fork()
        if self._child == 0:
            _become(command)

    def run(self) -> int:
        """Return the child's exit code, 128 + n when signal n ended it."""
        code = self._wait(None, [OWNER, self._wake_reader])
        for stop_signal, patience in ESCALATION:
            if code is not None:
                break
            if self._in_haste and stop_signal == signal.SIGINT:
                continue
            os.kill(self._child, stop_signal)
            code = self._wait(patience, [self._wake_reader], hurried=stop_signal != signal.SIGINT)
        return 1 if code is None else code

    def _wait(
        self, patience: float | None, sources: list[int], *, hurried: bool = False
    ) -> int | None:
        """Wait for the child's exit; None when it is time for the next, harder step."""
        deadline = None if patience is None else time.monotonic() + patience
        while (code := self._exit_code()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            if (self._stop_wanted and deadline is None) or (self._in_haste and not hurried):
                return None
            ready, _, _ = select.select(sources, [], [], left)
            if self._wake_reader in ready:
                os.read(self._wake_reader, 512)
            if OWNER in ready and not os.read(OWNER, 512):
                return None
        return code

    def _exit_code(self) -> int | None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _listen_to_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        return reader

    def _on_stop(self, number: int, _frame: object) -> None:
        self._stop_wanted = True
        self._in_haste = self._in_haste or number == signal.SIGQUIT


def _become(command: list[str]) -> None:
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, OWNER)
    try:
        os.execvp(command[0], command)  # noqa: S606  # the owner says what to run
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
        os._exit(127)


if __name__ == "__main__":
    exit_code = Watchdog(sys.argv[1:]).run()
    sys.exit(exit_code if exit_code >= 0 else 128 - exit_code)
