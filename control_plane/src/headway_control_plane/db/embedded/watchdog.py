"""Run one command and stop it when the owner goes away.

Started by file name with an isolated interpreter (standard library only, nothing of ours) in a session of its own.
Standard input is the owner's pipe: its end, for whatever reason, kill -9 of the owner included, means stop. The
command is a direct child, so that its exit is always collected and no zombie blocks the next start.

Usage: watchdog.py COMMAND [ARGUMENT ...]
"""

import os
import select
import signal
import sys
import time

# PostgreSQL's own words: TERM lets its clients finish, INT ends their sessions, QUIT ends it without a checkpoint.
# KILL is for a server that answers none of them. With each its patience in seconds.
ESCALATION = (
    (0, float("inf")),
    (signal.SIGTERM, 5.0),
    (signal.SIGINT, 15.0),
    (signal.SIGQUIT, 5.0),
    (signal.SIGKILL, 5.0),
)
RUNNING, OWNER_LEFT, STOP, STOP_NOW = range(4)
DEMANDS = {signal.SIGTERM: STOP, signal.SIGINT: STOP, signal.SIGHUP: STOP, signal.SIGQUIT: STOP_NOW}
OWNER = 0


class Watchdog:
    """A child and the step of the escalation that it has been brought to."""

    def __init__(self, command: list[str]) -> None:
        self._demanded = RUNNING
        self._wake_reader = self._listen_to_signals()
        self._child = os.fork()
        if self._child == 0:
            _become(command)

    def run(self) -> int:
        """Return the child's exit code, negative when a signal ended it."""
        level = RUNNING
        while (code := self._wait(level)) is None:
            level = min(max(level + 1, self._demanded), len(ESCALATION) - 1)
            os.kill(self._child, ESCALATION[level][0])
        return code

    def _wait(self, level: int) -> int | None:
        """Wait for the child's exit; None when it is time for a harder step."""
        deadline = time.monotonic() + ESCALATION[level][1]
        sources = [self._wake_reader, OWNER] if level == RUNNING else [self._wake_reader]
        while (code := self._exit_code()) is None:
            left = deadline - time.monotonic()
            if self._demanded > level or left <= 0:
                return None
            ready, _, _ = select.select(sources, [], [], None if level == RUNNING else left)
            if self._wake_reader in ready:
                os.read(self._wake_reader, 512)
            if OWNER in ready and not os.read(OWNER, 512):
                self._demanded = max(self._demanded, OWNER_LEFT)
        return code

    def _exit_code(self) -> int | None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _listen_to_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in DEMANDS:
            signal.signal(number, self._on_signal)
        return reader

    def _on_signal(self, number: int, _frame: object) -> None:
        self._demanded = max(self._demanded, DEMANDS[signal.Signals(number)])


def _become(command: list[str]) -> None:
    for number in (signal.SIGCHLD, *DEMANDS):
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
