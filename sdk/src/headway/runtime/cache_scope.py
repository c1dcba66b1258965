"""Which task a result is of, and whose: what keeps results of two projects, and of two tasks made by one function, apart.

Where that is in doubt, there is no key (NoKey), and the call executes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from headway.definitions import Definition
from headway.digests import stable_digest
from headway.runtime.changed_code import functions_of, text_of_code


class NoKey(Exception):
    """The call has no key in the cache. Its message says why, and what would help."""


class Whose(NamedTuple):
    """Where a task's code comes from, as the agent says it."""

    root: str = ""
    environment: str = ""
    project: str = ""
    """The name that an operator gave it: equal wherever one project is executed."""
    pool: str = ""
    """The agent's. Empty: an agent that does not say it."""
    begun_us: int = 0
    """When the process had imported nothing of the project yet. What was changed since then may be other code than it executes."""


def whose_of(start: Mapping[str, Any], begun_us: int) -> Whose:
    """As start.json says it."""
    root, environment, project, pool = (
        str(start.get(name, "")) for name in ("root", "environment", "project", "pool")
    )
    return Whose(root, environment, project, pool, begun_us)


def task_path(definition: Definition) -> str:
    return f"{definition.__module__}:{getattr(definition, '__qualname__', definition.name)}"


def task_digest(definition: Definition) -> str:
    return _digest(task_path(definition), definition.name)


def here(definition: Definition, whose: Whose) -> str:
    """Whose task it is, on this machine: that of a root in an environment and of the file in it, unless the project has a name."""
    if whose.project:
        return _digest("project", whose.project)
    root = str(Path(whose.root).resolve())
    file = getattr(sys.modules.get(definition.__module__), "__file__", None)
    return _digest("root", root, whose.environment, str(file))


def everywhere(whose: Whose) -> str:
    """Whose task it is, on all machines: agents of one pool have one project under an environment's name. Raises NoKey."""
    if whose.project:
        return _digest("project", whose.project)
    if not whose.pool:
        raise NoKey("the agent does not say of which pool it is: upgrade headway-agent")
    return _digest("pool", whose.pool, whose.environment)


def captured(definition: Definition, *, source: bool) -> str:
    """Digest of what the task's function has from the functions around it, which makes two of one text differ; empty: nothing.

    `source`: the code of what it has counts too. Raises NoKey.
    """
    texts = [text for fn in functions_of(definition) for text in _captured(fn, (), source=source)]
    return _digest(*texts) if texts else ""


def _captured(fn: Any, around: tuple[int, ...], *, source: bool) -> Iterator[str]:
    if (owner := getattr(fn, "__self__", None)) is not None:
        yield f"self={_text('self', owner, around, source=source)}"
    names: Iterable[str] = getattr(getattr(fn, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(fn, "__closure__", None) or (), strict=False):
        try:
            value = cell.cell_contents
        except ValueError:  # it has no value yet
            yield f"{name} is empty"
        else:
            yield f"{name}={_text(name, value, around, source=source)}"


def _text(name: str, value: Any, around: tuple[int, ...], *, source: bool) -> str:
    if isinstance(value, Definition):
        value = value.fn
    if id(value) in around:
        return f"{len(around) - around.index(id(value))} around"
    if isinstance(value, FunctionType | MethodType):
        around = (*around, id(value))
        texts = [f"{value.__module__}:{value.__qualname__}"]
        if source or "<" in value.__qualname__:  # such names are not one function's alone
            texts.append(text_of_code(value.__code__))
        return _digest(*texts, *_captured(value, around, source=source))
    if isinstance(value, type) and "<" not in value.__qualname__:
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, ModuleType):
        return value.__name__
    digest = stable_digest({name: value})
    if digest is None:
        raise NoKey(
            f"its function has {name!r} from the function around it, which has no stable digest: make it an argument,"
            " or use a function as the policy"
        )
    return digest


def _digest(*words: str) -> str:
    return sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
