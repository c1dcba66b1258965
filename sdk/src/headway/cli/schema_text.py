"""JSON Schema in a few words: what a parameter or an answer must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headway.cli import text


def kind_words(described: object, definitions: Mapping[str, Any] | None = None) -> str:
    """The kind of a value: `string (date)`, `array of integer`, `1 | "a" | null`, the name of a class."""
    if not isinstance(described, Mapping):
        return "any"
    if "enum" in described or "const" in described:
        choices = described.get("enum", [described.get("const")])
        return " | ".join(_choice(each) for each in choices)
    for several in ("anyOf", "oneOf"):
        if isinstance(parts := described.get(several), list):
            return " | ".join(kind_words(part, definitions) for part in parts)
    if isinstance(reference := described.get("$ref"), str):
        name = reference.rpartition("/")[2]
        found = (definitions or {}).get(name)
        is_choice = isinstance(found, Mapping) and ("enum" in found or "const" in found)
        return kind_words(found) if is_choice else text.printable(name)
    kinds = described.get("type", "any")
    kind = " | ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds)
    if kind == "array" and isinstance(described.get("items"), Mapping):
        kind = f"array of {kind_words(described['items'], definitions)}"
    if isinstance(form := described.get("format"), str):
        kind = f"{kind} ({form})"
    return text.printable(kind)


def _choice(value: object) -> str:
    return text.printable(value if isinstance(value, str) else json.dumps(value))
