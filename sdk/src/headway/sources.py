"""The source files that a deployment stands for, as one hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Limits(NamedTuple):
    """How much of a tree is worth reading."""

    entries: int
    size: int


def code_hash(entrypoint: str, root: str, limits: Limits | None = None) -> str | None:
    """SHA-256 over the source of the entry point's top-level package, or of its single module: paths and contents.

    None when that is beyond the limits.
    """
    base = Path(root).resolve()
    total = hashlib.sha256()
    size = 0
    paths = _sources(base, entrypoint.partition(":")[0].partition(".")[0], limits)
    if paths is None:
        return None
    for path in paths:
        name, content = path.relative_to(base).as_posix().encode(), path.read_bytes()
        size += len(content)
        if limits is not None and size > limits.size:
            return None
        # Lengths keep the border between two files where it is.
        total.update(b"%d %d\n" % (len(name), len(content)) + name + content)
    return total.hexdigest()


def _sources(base: Path, top: str, limits: Limits | None) -> list[Path] | None:
    package = base / top
    if not package.is_dir():
        return [path for path in [base / f"{top}.py"] if path.is_file()]
    found = []
    for seen, path in enumerate(_files(package)):
        if limits is not None and seen >= limits.entries:
            return None
        if path.endswith(".py"):
            found.append(Path(path))
    return sorted(found, key=lambda path: path.relative_to(base).as_posix())


def _files(package: Path) -> Iterator[str]:
    for folder, _, names in os.walk(package):
        for name in names:
            yield os.path.join(folder, name)  # noqa: PTH118 (thousands of names: no Path each)
