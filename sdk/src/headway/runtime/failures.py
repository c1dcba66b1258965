"""Errors as frames tell them: class, message, and the lines of user code that led there."""

from __future__ import annotations

import linecache
import sys
from collections import deque
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from headway.runtime.channel import clean

MESSAGE_MAX = 32 * 1024
FRAMES_MAX = 50
_FIRST = 10  # of a deep recursion the way in tells more than the middle
_CODE_MAX = 500
_SDK = str(Path(__file__).parents[1]) + "/"
_INSTALLED = ("/site-packages/", "/dist-packages/")


class ErrorDescriber:
    """Knows what is the user's code: files below `root` that are not an installed package."""

    def __init__(self, root: str) -> None:
        self._given_root = root
        self._is_user: dict[str, bool] = {}

    @cached_property
    def _root(self) -> str:
        # Resolved with the first error: most attempts have none, and each part of the path is a look at the disk.
        return str(Path(self._given_root).resolve()) + "/" if self._given_root else ""

    def __call__(self, error: BaseException) -> dict[str, Any]:
        """The frame's `error`."""
        told: dict[str, Any] | None = getattr(error, "__headway_described__", None)
        if told is not None:  # raised in a worker, which knew where
            return told
        return {
            "class": clean(_class_name(type(error))),
            "message": _cut(clean(_message(error)), MESSAGE_MAX),
            "traceback": [self._line(*_step(trace)) for trace in _bounded(error.__traceback__)],
        }

    def _line(self, file: str, line: int, function: str) -> dict[str, Any]:
        code = linecache.getline(file, line).strip()
        user = self._is_user.get(file)
        if user is None:
            user = self._is_user[file] = self._below_root(file)
        shown = file.removeprefix(self._root) if user else file
        return {
            "file": clean(shown),
            "line": line,
            "function": clean(function),
            "code": clean(code[:_CODE_MAX]),
            "user": user,
        }

    def _below_root(self, file: str) -> bool:
        # `<string>` and the like are no files, and the working directory to resolve them in may be gone.
        if not Path(file).is_absolute():
            return False
        path = str(Path(file).resolve())
        installed = any(part in path for part in _INSTALLED) or path.startswith(
            (_SDK, sys.base_prefix + "/lib/")
        )
        return bool(self._root) and path.startswith(self._root) and not installed


def _class_name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    return _attempt(lambda: str(error))


def _attempt(read: Callable[[], str]) -> str:
    try:
        return read()
    except Exception as failure:  # noqa: BLE001 - __str__ is the user's code; that it failed is then the message
        return f"(its message could not be read: {type(failure).__name__})"


def _bounded(trace: TracebackType | None) -> list[TracebackType]:
    """Outermost first. Of many steps the first and the last; only those are looked at, for lines cost time to find."""
    first: list[TracebackType] = []
    last: deque[TracebackType] = deque(maxlen=FRAMES_MAX - _FIRST)
    while trace is not None:
        if len(first) < _FIRST:
            first.append(trace)
        else:
            last.append(trace)
        trace = trace.tb_next
    return [*first, *last]


def _step(trace: TracebackType) -> tuple[str, int, str]:
    code = trace.tb_frame.f_code
    return code.co_filename, trace.tb_lineno or 0, code.co_name


def _cut(text: str, limit: int) -> str:
    return (
        text if len(text) <= limit else f"{text[:limit]} ... [cut {len(text) - limit} characters]"
    )
