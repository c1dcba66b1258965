"""Hints that pydantic understands: its models and types, and constraints in Annotated. Used where the user has it."""

from __future__ import annotations

import json
import sys
import typing
from typing import Any

from headway.errors import Problem
from headway.parameters.shapes import Definitions, Problems, Schema

_OWNERS = frozenset({"pydantic", "pydantic_core", "pydantic_extra_types", "annotated_types"})
# The control plane refuses regular expressions in schemas: one could hold up everybody. The check here still has them.
_PATTERNS = frozenset({"pattern", "patternProperties"})


def is_foreign(hint: Any) -> bool:
    """Whether pydantic has to read it. Never imports it: a hint from it is there only if the user has imported it."""
    if "pydantic" not in sys.modules:
        return False
    if typing.get_origin(hint) is typing.Annotated:
        return any(_is_pydantics(type(mark)) or _is_pydantics(mark) for mark in hint.__metadata__)
    return isinstance(hint, type) and any(_is_pydantics(base) for base in hint.__mro__[:-1])


def _is_pydantics(kind: Any) -> bool:
    return str(getattr(kind, "__module__", "")).partition(".")[0] in _OWNERS


class Foreign:
    """A hint that pydantic reads and describes."""

    def __init__(self, hint: Any) -> None:
        self._adapter = sys.modules["pydantic"].TypeAdapter(hint)
        name = getattr(hint, "__name__", "")
        self.label = f"an object ({name})" if name and isinstance(hint, type) else "a valid value"

    def schema(self, definitions: Definitions) -> Schema:
        described = self._adapter.json_schema(ref_template="#/$defs/{model}")
        definitions.update(_without_patterns(described.pop("$defs", {})))
        plain: Schema = _without_patterns(described)
        return plain

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        # As JSON, so that strict models take a date where JSON can only have text.
        invalid: type[ValueError] = sys.modules["pydantic"].ValidationError
        try:
            return self._adapter.validate_json(json.dumps(value))
        except invalid as error:
            details: Any = error
            problems.extend(
                Problem(_place(path, each["loc"]), str(each["msg"])) for each in details.errors()
            )
            return None


def _place(path: str, location: tuple[int | str, ...]) -> str:
    return path + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in location)


def _without_patterns(schema: Any) -> Any:
    """Names of properties may be anything, `pattern` too: they are no keywords."""
    if isinstance(schema, list):
        return [_without_patterns(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _without_patterns(each) for key, each in value.items()}
        if name in ("properties", "$defs") and isinstance(value, dict)
        else _without_patterns(value)
        for name, value in schema.items()
        if name not in _PATTERNS
    }
