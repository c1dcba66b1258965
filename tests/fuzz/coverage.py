"""Which lines of some modules an execution reached, and whether any of them is new: what makes an input worth going on from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any


class Lines:
    """Traces the lines of modules while entered. With no modules it costs nothing."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._files = {importlib.import_module(name).__file__ for name in modules}
        self._seen: set[tuple[str, int]] = set()
        self._fresh = False

    def take_new(self) -> bool:
        """Whether a line was reached, since this was asked last, that no execution had reached before."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def __enter__(self) -> None:
        if self._files:
            sys.settrace(self._called)

    def __exit__(self, *_: object) -> None:
        if self._files:
            sys.settrace(None)

    def _called(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            at = (frame.f_code.co_filename, frame.f_lineno)
            if at not in self._seen:
                self._seen.add(at)
                self._fresh = True
        return self._line
