"""What a type hint accepts: each shape tells its JSON Schema and reads JSON values as Python values."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from headway.errors import Problem
from headway.parameters.plain import NotPlain, plain

Schema = dict[str, Any]
Problems = list[Problem]
Definitions = dict[str, Schema]


class Shape(Protocol):
    """One kind of hint."""

    @property
    def label(self) -> str:
        """How messages call it."""

    def schema(self, definitions: Definitions) -> Schema:
        """Its JSON Schema; named types go to `definitions`."""

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        """The Python value. What is wrong is added to `problems`; then the returned value means nothing."""


class Anything:
    """A hint that says nothing, or nothing that JSON could check: values pass as they are."""

    label = "any value"

    def schema(self, _definitions: Definitions) -> Schema:
        return {}

    def read(self, value: Any, _path: str, _problems: Problems) -> Any:
        return value


class Scalar:
    """A single value: `parse` raises ValueError or TypeError for a wrong one."""

    def __init__(self, label: str, schema: Schema, parse: Callable[[Any], Any]) -> None:
        self.label = label
        self._schema = schema
        self._parse = parse

    def schema(self, _definitions: Definitions) -> Schema:
        return dict(self._schema)

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        try:
            return self._parse(value)
        except (ValueError, TypeError, ArithmeticError):
            problems.append(Problem(path, f"expected {self.label}, got {shown(value)}"))
            return None


def shown(value: Any) -> str:
    """A value in a message: its JSON type, and itself when it is short."""
    kinds = {
        dict: "an object",
        list: "a list",
        str: "the string",
        bool: "the boolean",
        type(None): "null",
    }
    kind = kinds.get(
        type(value), "the number" if isinstance(value, int | float) else type(value).__name__
    )
    if value is None or isinstance(value, dict | list):
        return kind
    text = repr(value)
    return f"{kind} {text if len(text) <= 60 else text[:57] + '...'}"


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    """By the exact type: to Python true is a number, to users it is not."""

    def parse(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError
        return value

    return parse


def _integer(value: Any) -> int:
    if type(value) is float and value.is_integer():
        return int(value)  # JSON knows one kind of number: 3.0 is 3
    number: int = _exactly(int)(value)
    return number


def _text_by(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: parse(_exactly(str)(value))


def _finite(value: Any) -> float:
    number = float(_exactly(int, float)(value))
    if number - number != 0:
        raise ValueError
    return number


def _decimal(value: Any) -> Decimal:
    number = Decimal(str(_exactly(str, int, float)(value)))
    if not number.is_finite():
        raise ValueError
    return number


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


SCALARS: dict[Any, Scalar] = {
    str: Scalar("a string", {"type": "string"}, _exactly(str)),
    bool: Scalar("true or false", {"type": "boolean"}, _exactly(bool)),
    int: Scalar("a whole number", {"type": "integer"}, _integer),
    float: Scalar("a number", {"type": "number"}, _finite),
    type(None): Scalar("null", {"type": "null"}, _exactly(type(None))),
    None: Scalar("null", {"type": "null"}, _exactly(type(None))),
    datetime: Scalar(
        "a date and time (ISO 8601)",
        {"type": "string", "format": "date-time"},
        _text_by(datetime.fromisoformat),
    ),
    date: Scalar(
        "a date (YYYY-MM-DD)", {"type": "string", "format": "date"}, _text_by(date.fromisoformat)
    ),
    time: Scalar(
        "a time of day (HH:MM:SS)",
        {"type": "string", "format": "time"},
        _text_by(time.fromisoformat),
    ),
    timedelta: Scalar(
        "a number of seconds",
        {"type": "number", "description": "seconds"},
        lambda value: timedelta(seconds=_finite(value)),
    ),
    UUID: Scalar("a UUID", {"type": "string", "format": "uuid"}, _text_by(UUID)),
    Path: Scalar("a path", {"type": "string", "format": "path"}, _text_by(Path)),
    Decimal: Scalar(
        "a decimal number", {"type": ["string", "number"], "format": "decimal"}, _decimal
    ),
    bytes: Scalar(
        "bytes as base64", {"type": "string", "contentEncoding": "base64"}, _text_by(_base64)
    ),
}


class Listed:
    """list, set, frozenset, tuple[T, ...]."""

    def __init__(self, item: Shape, make: Callable[[list[Any]], Any], *, unique: bool) -> None:
        self.label = f"a list of {item.label}"
        self._item = item
        self._make = make
        self._unique = unique

    def schema(self, definitions: Definitions) -> Schema:
        items = self._item.schema(definitions)
        return {
            "type": "array",
            **({"items": items} if items else {}),
            **({"uniqueItems": True} if self._unique else {}),
        }

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, list):
            problems.append(Problem(path, f"expected a list, got {shown(value)}"))
            return None
        items = [self._item.read(each, f"{path}[{at}]", problems) for at, each in enumerate(value)]
        try:
            return self._make(items)
        except TypeError:  # an item that no set can hold
            problems.append(Problem(path, "expected distinct plain values"))
            return None


class Fixed:
    """tuple[A, B]."""

    def __init__(self, items: Sequence[Shape]) -> None:
        self.label = f"a list of {len(items)} values"
        self._items = items

    def schema(self, definitions: Definitions) -> Schema:
        count = len(self._items)
        prefix = (
            {"prefixItems": [item.schema(definitions) for item in self._items]} if count else {}
        )
        return {"type": "array", **prefix, "minItems": count, "maxItems": count}

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, list) or len(value) != len(self._items):
            problems.append(Problem(path, f"expected {self.label}, got {shown(value)}"))
            return None
        pairs = enumerate(zip(self._items, value, strict=True))
        return tuple(item.read(each, f"{path}[{at}]", problems) for at, (item, each) in pairs)


class Keyed:
    """dict[K, V]; keys come as JSON strings."""

    label = "an object"

    def __init__(self, key: Shape, value: Shape, *, numeric: bool) -> None:
        self._key = key
        self._value = value
        self._numeric = numeric

    def schema(self, definitions: Definitions) -> Schema:
        values = self._value.schema(definitions)
        return {"type": "object", **({"additionalProperties": values} if values else {})}

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, dict):
            problems.append(Problem(path, f"expected an object, got {shown(value)}"))
            return None
        return {
            self._key.read(self._raw(name), f"{path}.{name} (key)", problems): self._value.read(
                each, f"{path}.{name}", problems
            )
            for name, each in value.items()
        }

    def _raw(self, name: str) -> Any:
        try:
            return int(name) if self._numeric else name
        except ValueError:
            return name


class Choice:
    """Literal and Enum: one of some values."""

    def __init__(self, choices: Sequence[tuple[Any, Any]]) -> None:
        self._choices = choices  # (JSON value, Python value), no dict: 1 and True are one key
        self.label = "one of " + ", ".join(repr(raw) for raw, _ in self._choices)

    @classmethod
    def of_enum(cls, kind: type[Enum]) -> Choice:
        """By value where all values are plain, else by name."""
        try:
            return cls([(plain(member.value), member) for member in kind])
        except NotPlain:
            return cls([(member.name, member) for member in kind])

    def schema(self, _definitions: Definitions) -> Schema:
        return {"enum": [raw for raw, _ in self._choices]}

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        for raw, chosen in self._choices:
            if type(raw) is type(value) and raw == value:
                return chosen
        problems.append(Problem(path, f"expected {self.label}, got {shown(value)}"))
        return None


class Either:
    """Union and Optional: an option that takes the value as it is, else the first that can read it."""

    def __init__(self, options: Sequence[Shape]) -> None:
        self._options = options
        self.label = " or ".join(option.label for option in options)

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [option.schema(definitions) for option in self._options]}

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        found = []
        told: list[Problems] = []
        for option in self._options:
            wrong: Problems = []
            result = option.read(value, path, wrong)
            if wrong:
                told.append(wrong)
            elif type(result) is type(value):
                return result
            else:
                found.append(result)
        if found:
            return found[0]
        # An option that got further into the value (its problems lie deeper) explains best.
        deepest = max(told, key=lambda wrong: max(len(problem.path) for problem in wrong))
        if deepest[0].path != path:
            problems.extend(deepest)
        else:
            problems.append(Problem(path, f"expected {self.label}, got {shown(value)}"))
        return None


class Field:
    """One field of a record."""

    __slots__ = ("default", "has_default", "name", "required", "shape")

    def __init__(
        self,
        name: str,
        shape: Shape,
        *,
        required: bool,
        has_default: bool = False,
        default: Any = None,
    ) -> None:
        self.name = name
        self.shape = shape
        self.required = required
        self.has_default = has_default
        self.default = default

    def schema(self, definitions: Definitions) -> Schema:
        described = self.shape.schema(definitions)
        if not self.has_default:
            return described
        try:
            return {**described, "default": plain(self.default)}
        except NotPlain:
            return described  # Python has it, JSON cannot show it


def read_fields(
    fields: Sequence[Field],
    value: dict[str, Any],
    path: str,
    problems: Problems,
    *,
    open_ended: bool = False,
) -> dict[str, Any]:
    """Values by name. Missing, unknown and wrong ones are all told."""
    known = {field.name: field for field in fields}
    inside = f"{path}." if path else ""
    problems.extend(
        Problem(f"{inside}{field.name}", "is required")
        for field in fields
        if field.required and field.name not in value
    )
    if not open_ended:
        hint = f"known are: {', '.join(known)}" if known else "there are none"
        problems.extend(
            Problem(f"{inside}{name}", f"is unknown; {hint}") for name in value if name not in known
        )
    return {
        name: known[name].shape.read(each, f"{inside}{name}", problems) if name in known else each
        for name, each in value.items()
    }


def object_schema(
    fields: Sequence[Field], definitions: Definitions, *, open_ended: bool = False
) -> Schema:
    required = [field.name for field in fields if field.required]
    return {
        "type": "object",
        "properties": {field.name: field.schema(definitions) for field in fields},
        **({"required": required} if required else {}),
        "additionalProperties": open_ended,
    }


class Record:
    """Dataclass or TypedDict. Its fields are filled after creation, for it may contain itself."""

    def __init__(self, name: str, make: Callable[[dict[str, Any]], Any]) -> None:
        self.label = f"an object ({name})"
        self.name = name
        self.fields: list[Field] = []
        self._make = make

    def schema(self, definitions: Definitions) -> Schema:
        if self.name not in definitions:
            definitions[self.name] = {}  # stops the recursion of a type that contains itself
            definitions[self.name] = object_schema(self.fields, definitions)
        return {"$ref": f"#/$defs/{self.name}"}

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, dict):
            problems.append(Problem(path, f"expected {self.label}, got {shown(value)}"))
            return None
        before = len(problems)
        values = read_fields(self.fields, value, path, problems)
        if len(problems) > before:
            return None
        try:
            return self._make(values)
        except (ValueError, TypeError) as error:  # a check in the class's own __post_init__
            problems.append(Problem(path, str(error)))
            return None
