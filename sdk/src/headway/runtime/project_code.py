"""Of which of the project's files the code of a task is made: its module, what that imports, what this imports in turn.

They are found in the text of the files, so that imports inside functions count too. Installed packages and the standard
library do not; nor does what is imported by a name that is made up at run time.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from importlib.machinery import ModuleSpec
from pathlib import Path

import headway
from headway.runtime.imported import State, state

_COARSE_US = 20_000
"""The clock of a file system may be that much behind."""
_INSTALLED = ("site-packages", "dist-packages")


class Doubtful(Exception):
    """Nobody knows which code it is. Says why."""


def digest_of(module: str, begun_us: int) -> str:
    """SHA-256 over names and contents, hex. `begun_us`: what was changed since then may not be what was imported.

    Raises Doubtful.
    """
    whole = sha256()
    for name, path in sorted(_files_of(module, begun_us).items()):
        whole.update(f"{name}\0{_read(path, *_state(path, begun_us))[0]}\n".encode())
    return whole.hexdigest()


def _files_of(module: str, begun_us: int) -> dict[str, str]:
    specs: dict[str, ModuleSpec | None] = {}
    files: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in specs:
            continue
        around = name.rpartition(".")[0]
        if around and around not in specs:
            waiting += [name, around]
            continue
        spec = specs[name] = _spec(name, specs.get(around) if around else None)
        path = _own_file(spec)
        if path is None:
            continue
        files[name] = path
        package = name if spec and spec.submodule_search_locations is not None else around
        waiting += _imports(path, package, begun_us)
    if module not in files:
        raise Doubtful(f"its module {module} is no file of the project")
    return files


def _imports(path: str, package: str, begun_us: int) -> list[str]:
    return [
        name if not level else _absolute(name, package, level)
        for name, level in _read(path, *_state(path, begun_us))[1]
    ]


def _absolute(name: str, package: str, level: int) -> str:
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])


def _state(path: str, begun_us: int) -> State:
    known = state(path)
    if known is None:
        raise Doubtful(f"{path} cannot be read any more")
    if max(known[:2]) >= (begun_us - _COARSE_US) * 1_000:
        raise Doubtful(f"{path} was changed since this attempt began, or just before")
    return known


@lru_cache(maxsize=4096)
def _read(path: str, *_state: int) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Digest of a file, and which names it imports, with the dots before them. Once for each content."""
    try:
        content = Path(path).read_bytes()
        imports = tuple(_imported(ast.parse(content))) if path.endswith(".py") else ()
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        raise Doubtful(f"{path} cannot be read: {error}") from error
    return sha256(content).hexdigest(), imports


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, 0
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield base, node.level
            for alias in node.names:
                # It may be a module, or a name in one: then there is no such module.
                if alias.name != "*":
                    yield f"{base}.{alias.name}" if base else alias.name, node.level


def _spec(name: str, around: ModuleSpec | None) -> ModuleSpec | None:
    """Where a module is, without importing anything."""
    if not name:
        return None
    if (loaded := sys.modules.get(name)) is not None:
        return getattr(loaded, "__spec__", None)
    places = None
    if "." in name:
        if around is None or around.submodule_search_locations is None:
            return None
        if around.has_location and _own_file(around) is None:
            return None  # part of an installed package
        places = around.submodule_search_locations
    for finder in sys.meta_path:
        try:
            found = finder.find_spec(name, places)
        except Exception as error:
            # Finders of the user's may raise anything.
            raise Doubtful(f"looking for module {name} raised {error!r}") from error
        if found is not None:
            return found
    return None


def _own_file(spec: ModuleSpec | None) -> str | None:
    if spec is None or not spec.has_location or not spec.origin:
        return None
    is_installed = spec.origin.startswith(_places()) or any(
        f"{os.sep}{place}{os.sep}" in spec.origin for place in _INSTALLED
    )
    return None if is_installed else spec.origin


@lru_cache(maxsize=1)
def _places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib") if name in paths]
    return tuple(f"{place}{os.sep}" for place in (*own, *headway.__path__))
