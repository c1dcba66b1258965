"""What a run may change of its process and the next one must find as it was: taken once the code is loaded, put back after each run."""

from __future__ import annotations

import builtins
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from headway.runtime.handlers import get_handler, set_handler

_OWN = frozenset({signal.SIGUSR1, signal.SIGURG})
"""Each attempt sets these for itself."""
_HOOKS = ("argv", "excepthook", "unraisablehook", "displayhook", "stdin", "stdout", "stderr")


class _Logger(NamedTuple):
    handlers: list[logging.Handler]
    filters: list[Any]
    level: int
    propagate: bool
    disabled: bool


_NEW = _Logger([], [], logging.NOTSET, propagate=True, disabled=False)


class Surroundings:
    """The state of this process at one moment. Main thread only."""

    def __init__(self) -> None:
        self.env = dict(os.environ)  # noqa: TID251 - the flow's environment is an input of the attempt
        self._bare = _bare_environment()
        self._folder = os.getcwd()  # noqa: PTH109 - as `chdir` takes it
        self._umask = _umask()
        self._path = list(sys.path)
        self._hooks = {name: getattr(sys, name) for name in _HOOKS}
        self._argv = list(sys.argv)
        self._print = builtins.print
        self._recursion = sys.getrecursionlimit()
        self._socket_timeout = socket.getdefaulttimeout()
        self._signals = [(number, get_handler(number)) for number in _signals()]
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self._disabled = logging.root.manager.disable
        self._loggers = {logger: _state(logger) for logger in _loggers()}

    def put_back(self) -> None:
        """Raises OSError when the working directory is gone."""
        if self._bare is None or self._bare != _bare_environment():
            self._environment(self.env)
        os.chdir(self._folder)
        os.umask(self._umask)
        sys.path[:] = self._path
        for name, value in self._hooks.items():
            setattr(sys, name, value)
        sys.argv[:] = self._argv
        builtins.print = self._print
        sys.setrecursionlimit(self._recursion)
        socket.setdefaulttimeout(self._socket_timeout)
        self._put_signals_back()
        self._put_logging_back()
        random.seed()  # as in a process of its own: what the last run has set it to says nothing to this one

    def move(self, before: Mapping[str, str], now: Mapping[str, str]) -> None:
        """For the next attempt, whose environment differs by so much from that of the last one."""
        for name in before.keys() - now.keys():
            self.env.pop(name, None)
            os.environ.pop(name, None)  # noqa: TID251 - as above
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        self.env |= changed
        os.environ.update(changed)  # noqa: TID251 - as above
        self._bare = _bare_environment()
        time.tzset()  # also where it is not told here: the machine's own zone may be another by now

    def _environment(self, wanted: Mapping[str, str]) -> None:
        present = dict(os.environ)  # noqa: TID251 - as above
        for name in present.keys() - wanted.keys():
            del os.environ[name]  # noqa: TID251 - as above
        os.environ.update(wanted.items() - present.items())  # noqa: TID251 - as above
        self._bare = _bare_environment()

    def _put_signals_back(self) -> None:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)  # an alarm that is still to come
        for number, handler in self._signals:
            if handler is not None and get_handler(number) != handler:
                set_handler(number, handler)
        # Last: what was held back meets the handler that it is for. With a signal blocked, no later run could be cancelled.
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def _put_logging_back(self) -> None:
        logging.disable(self._disabled)
        for logger in _loggers():
            wanted = self._loggers.get(logger, _NEW)
            if not _is_as(logger, wanted):
                logger.handlers[:] = wanted.handlers
                logger.filters[:] = wanted.filters
                logger.propagate, logger.disabled = wanted.propagate, wanted.disabled
                logger.setLevel(wanted.level)


def _umask() -> int:
    present = os.umask(0o077)
    os.umask(present)
    return present


def _signals() -> list[int]:
    return [int(number) for number in signal.valid_signals() - _OWN]


def _bare_environment() -> dict[bytes, bytes] | None:
    """What os.environ holds, without a decoding of each name and value; None where it holds that in another way."""
    held = getattr(os.environ, "_data", None)  # noqa: TID251 - as above
    return dict(held) if type(held) is dict else None


def _loggers() -> list[logging.Logger]:
    named = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(each for each in named if isinstance(each, logging.Logger))]


def _is_as(logger: logging.Logger, wanted: _Logger) -> bool:
    return (
        logger.level == wanted.level
        and logger.propagate == wanted.propagate
        and logger.disabled == wanted.disabled
        and logger.handlers == wanted.handlers
        and logger.filters == wanted.filters
    )


def _state(logger: logging.Logger) -> _Logger:
    return _Logger(
        list(logger.handlers),
        list(logger.filters),
        logger.level,
        logger.propagate,
        logger.disabled,
    )
