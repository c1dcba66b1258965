"""JSON that comes from outside: what is wrong with it, and its one encoding."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from headway_control_plane.application.errors import Problem

MAX_DEPTH = 100


def read_foreign(content: bytes | str) -> Any:
    """Decode what somebody else wrote and nobody checked, an agent for one.

    Raises:
        ValueError: It is no JSON, or is nested more deeply than those can follow who get it.
    """
    marked = content if isinstance(content, str) else content.decode(errors="replace")
    try:
        value = json.loads(content)
        if marked.count("[") + marked.count("{") > MAX_DEPTH and _is_deep(value):
            raise ValueError("The JSON is nested too deeply.")
        if "\\ud" in marked.lower():
            # Half of a surrogate pair is no text that anybody could be sent.
            whole = json.dumps(value, ensure_ascii=False).encode(errors="replace")
            value = json.loads(whole)
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None
    return value


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        values = (each.values() if isinstance(each, dict) else each for each in level)
        level = [one for part in values for one in part if isinstance(one, (dict, list))]
        if not level:
            return False
    return True


def encode(value: Any) -> bytes:
    """Encode a value that `problems_of` found nothing wrong with."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def canonical(value: Any) -> bytes:
    """Encode so that equal values give equal bytes, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def problems_of(value: Any, path: str) -> Iterator[Problem]:
    """Name what cannot be kept: NUL and lone surrogates (no text for PostgreSQL or UTF-8), numbers that are none, depth."""
    waiting = [(value, path, 0)]
    while waiting:
        item, where, depth = waiting.pop()
        if depth > MAX_DEPTH:
            yield Problem(where, f"is nested more than {MAX_DEPTH} levels deep")
            continue
        match item:
            case str():
                yield from _text_problems(item, where)
            case float() if not math.isfinite(item):
                yield Problem(where, "is no finite number; JSON has no NaN and no Infinity")
            case Mapping():
                for key in item:
                    yield from _text_problems(key, f"{where}, in a key")
                waiting.extend((child, f"{where}.{key}", depth + 1) for key, child in item.items())
            case list():
                waiting.extend((child, f"{where}[{n}]", depth + 1) for n, child in enumerate(item))
            case _:
                pass


def _text_problems(text: str, path: str) -> Iterator[Problem]:
    if "\x00" in text:
        yield Problem(
            path.replace("\x00", "\N{SYMBOL FOR NULL}"),
            "holds a NUL character, which cannot be stored; remove it",
        )
    elif not _is_unicode(text):
        yield Problem(
            _printable(path), "holds half of a surrogate pair, which is no Unicode text; remove it"
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()
