"""Looks for objects of some types in nested lists, tuples and the values of dicts, however deep, also where one contains itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_PLAIN = frozenset({str, int, float, bool, type(None), bytes})


def may_hold(value: Any) -> bool:
    """Whether it is a container of more than plain data."""
    kind = type(value)
    if kind is dict:
        return not _is_plain(value.values())
    return (kind is list or kind is tuple) and not _is_plain(value)


def find(value: object, kinds: tuple[type, ...]) -> Iterator[Any]:
    """Those of exactly these types, in order; what is in them is not looked at."""
    inside: list[tuple[int, Iterator[Any]]] = [(0, iter((value,)))]
    around: set[int] = set()
    while inside:
        key, items = inside[-1]
        for each in items:
            kind = type(each)
            if kind is dict or kind is list or kind is tuple:
                below = each.values() if kind is dict else each
                if _is_plain(below) or id(each) in around:
                    continue
                around.add(id(each))
                inside.append((id(each), iter(below)))
                break
            if any(kind is wanted for wanted in kinds):
                yield each
        else:
            inside.pop()
            around.discard(key)


def _is_plain(items: Iterable[Any]) -> bool:
    """Most containers hold plain data: one pass in C tells that there is nothing to look into."""
    try:
        return _PLAIN.issuperset(map(type, items))
    except TypeError:  # a class whose metaclass has no hash
        return False
