"""Which of the user's files a process has imported, and whether they still are what it imported."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import headway

State = list[int]
"""Time of the last change of content and of the file's record (nanoseconds), size, inode."""

_PLACES = ("stdlib", "platstdlib", "purelib", "platlib")
_COARSE_NS = 20_000_000
"""The clock of a file system may be that much behind."""


def state(path: str) -> State | None:
    """None: there is no such file, or nobody may look."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - asked for each file before each run
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino]


def changed(files: Mapping[str, Any]) -> str:
    """The first of these files that is no longer what it was; empty when all are."""
    return next((path for path, known in files.items() if state(path) != known), "")


class Imported:
    """Looks through the loaded modules, each once. Installed packages are left out: a deployment makes all anew for them."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        paths = sysconfig.get_paths()
        places = [*(paths[name] for name in _PLACES if name in paths), *headway.__path__]
        self._installed = tuple(f"{place}{os.sep}" for place in places)

    def more(self, since_ns: int) -> dict[str, State]:
        """Files of modules that were loaded since the last look. `since_ns`: when the first of them can have been read.

        Raises:
            LookupError: One was changed since then, so nobody knows which of its contents was imported.
        """
        if self._seen.issuperset(sys.modules):
            return {}
        found = {}
        for path in self._new(list(sys.modules.items())):
            known = state(path)
            if known is None or max(known[:2]) >= since_ns - _COARSE_NS:
                raise LookupError(path)
            found[path] = known
        return found

    def _new(self, modules: Iterable[tuple[str, Any]]) -> Iterator[str]:
        for name, module in modules:
            if name in self._seen:
                continue
            self._seen.add(name)
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and not path.startswith(self._installed):
                yield path
