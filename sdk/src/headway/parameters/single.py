"""One value by one hint: its JSON Schema, and how JSON becomes the value."""

from __future__ import annotations

from typing import Any

from headway.errors import Problem
from headway.parameters.hints import ShapeBuilder
from headway.parameters.shapes import Definitions, Problems


def schema_of(hint: Any) -> dict[str, Any]:
    """JSON Schema (2020-12); None stands for anything."""
    definitions: Definitions = {}
    described = {} if hint is None else ShapeBuilder().shape(hint).schema(definitions)
    name = str(described.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        # The value's own type stands at the top, where a form looks for its fields.
        described = {**definitions[name], **{k: v for k, v in described.items() if k != "$ref"}}
    return {**described, **({"$defs": definitions} if definitions else {})}


def read(hint: Any, value: Any) -> tuple[Any, list[Problem]]:
    """The value, and all that is wrong with what was given: then the value means nothing."""
    problems: Problems = []
    made = ShapeBuilder().shape(hint).read(value, "$", problems)
    return made, sorted(problems)
