"""Python values as the JSON that a user would write for them: for defaults in schemas and forms."""

import base64
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from headway.secrets import Secret


class NotPlain(TypeError):
    """The value has no JSON form."""


_TEXTS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (datetime, datetime.isoformat),
    (date, date.isoformat),
    (time, time.isoformat),
    (timedelta, timedelta.total_seconds),
    (UUID, str),
    (Secret, lambda value: value.name),
    (Path, str),
    (Decimal, str),
    (bytes, lambda value: base64.b64encode(value).decode()),
)


def plain(value: Any) -> Any:
    """JSON for a value. Raises NotPlain."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float and value - value == 0:
        return value
    for kind, convert in _TEXTS:
        if isinstance(value, kind):
            return convert(value)
    return _composite(value)


def _composite(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=repr)
    if hasattr(type(value), "__pydantic_fields__") and hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: plain(getattr(value, name)) for name, field in fields.items() if field.init}
    raise NotPlain(f"{type(value).__name__} has no JSON form")


def _key(name: Any) -> str:
    text = plain(name)
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise NotPlain(f"{type(name).__name__} cannot be a key")
    return str(text)
