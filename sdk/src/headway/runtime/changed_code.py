"""Whether a function is still the one whose result the journal holds, and what follows if not.

What it is made of: the bytecode and constants of the function itself, not of what it calls; where decorators lie around
it, theirs too; or the `version` that its author gave it, which then stands alone.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from types import CodeType
from typing import Any

from headway.definitions import Definition

TRUST, RERUN = "use the kept results", "execute it again"
ANSWER = {"type": "string", "enum": [TRUST, RERUN]}

_log = logging.getLogger("headway")


def code_of(definition: Definition) -> str:
    """16 hex digits; equal in another process of the same Python for the same code."""
    if not definition.code:
        definition.code = _digest(definition)
    return definition.code


def _digest(definition: Definition) -> str:
    if definition.version:
        text = f"version {definition.version}"
    else:
        codes = (getattr(fn, "__code__", None) for fn in functions_of(definition))
        text = "".join(text_of_code(code) for code in codes if isinstance(code, CodeType))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def functions_of(definition: Definition) -> Iterator[Any]:
    """The function, and what decorators that say so (`functools.wraps`) put it around."""
    seen: set[int] = set()
    fn: Any = definition.fn
    while fn is not None and id(fn) not in seen:
        seen.add(id(fn))
        yield fn
        fn = getattr(fn, "__wrapped__", None)


def text_of_code(value: Any) -> str:
    if isinstance(value, CodeType):
        # Bytecode does not say how far a `try` reaches: what stands in it, and what in its `else`.
        code = value.co_code.hex() + value.co_exceptiontable.hex()
        parts = (code, *map(text_of_code, value.co_consts), *value.co_names)
        return f"({' '.join(parts)})"
    if isinstance(value, frozenset):  # its order differs in each process
        return f"{{{' '.join(sorted(map(text_of_code, value)))}}}"
    if isinstance(value, tuple):
        return f"[{' '.join(map(text_of_code, value))}]"
    return repr(value)


def question(name: str) -> dict[str, Any]:
    """What a person is asked, as a wait's request."""
    return {
        "title": f"The code of {name} has changed since its results were made. What shall become of them?",
        "schema": ANSWER,
    }


class CodeChanges:
    """Says each change once in the run's log."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, name: str, words: str) -> None:
        if name not in self._told:
            self._told.add(name)
            _log.warning("the code of %s has changed since its results were made: %s", name, words)
