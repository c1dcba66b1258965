"""A form from a JSON Schema: one field a parameter, and back from the posted texts to values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "p."


@dataclass(frozen=True, slots=True)
class Field:
    """An input. `kind`: text, number, checkbox, choice or json."""

    name: str
    label: str
    kind: str
    value: str
    required: bool
    help: str
    choices: tuple[str, ...] = ()
    step: str = "any"


def fields_of(
    schema: Mapping[str, Any], values: Mapping[str, Any], posted: Mapping[str, str] | None = None
) -> list[Field]:
    """Return the inputs of a schema's properties, filled with values, or with what was posted before it was refused."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return []
    required = schema.get("required", ())
    return [
        _field(name, _resolve(definition, schema), values, posted, required=name in required)
        for name, definition in properties.items()
    ]


def _field(
    name: str,
    definition: Mapping[str, Any],
    values: Mapping[str, Any],
    posted: Mapping[str, str] | None,
    *,
    required: bool,
) -> Field:
    kind = _kind(definition)
    known = name in values or "default" in definition
    current = values.get(name, definition.get("default"))
    if posted is not None:
        value = posted.get(PREFIX + name, "")
    else:
        value = _to_text(current, kind) if known else ""
    return Field(
        name=PREFIX + name,
        label=str(definition.get("title") or name),
        kind=kind,
        value=value,
        required=required and not known,
        help=str(definition.get("description") or _type_words(definition)),
        choices=tuple(_to_text(choice, "choice") for choice in definition.get("enum", ())),
        step="1" if definition.get("type") == "integer" else "any",
    )


def _kind(definition: Mapping[str, Any]) -> str:
    if definition.get("enum"):
        return "choice"
    match definition.get("type"):
        case "string":
            return "text"
        case "integer" | "number":
            return "number"
        case "boolean":
            return "checkbox"
        case _:
            return "json"


def _type_words(definition: Mapping[str, Any]) -> str:
    match definition.get("type"):
        case str() as kind if kind in {"object", "array"}:
            return f"{kind}, as JSON"
        case str() as kind:
            return kind
        case _:
            return "as JSON"


def _to_text(value: Any, kind: str) -> str:
    if kind == "checkbox":
        return "true" if value else ""
    if kind in {"text", "choice"} and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


class NotJson(ValueError):
    """A field that takes JSON holds something else."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(
            f'{name}: {text[:40]!r} is no JSON. Texts stand in double quotes, for example "eu".'
        )


def values_of(schema: Mapping[str, Any], posted: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that a form holds. An empty optional field is left out, so that the default holds; raises NotJson."""
    properties = schema.get("properties")
    values: dict[str, Any] = {}
    for name, raw in (properties or {}).items():
        definition = _resolve(raw, schema)
        kind = _kind(definition)
        text = posted.get(PREFIX + name, "")
        if kind == "checkbox":
            values[name] = text == "true"
        elif kind == "text":
            if text or name in schema.get("required", ()):
                values[name] = text
        elif text.strip():
            values[name] = _parse(name, text, kind, definition)
    return values


def _parse(name: str, text: str, kind: str, definition: Mapping[str, Any]) -> Any:
    if kind == "choice" and text in definition.get("enum", ()):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NotJson(name, text) from None


def _resolve(definition: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow one reference within the schema; what cannot be followed is edited as JSON."""
    if not isinstance(definition, Mapping):
        return {}
    reference = definition.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = schema
        for part in reference[2:].split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        return target if isinstance(target, Mapping) else {}
    return definition


def object_of(label: str, text: str) -> dict[str, Any]:
    """The object that somebody typed as JSON; nothing typed is an empty one.

    Raises:
        NotJson: It is no JSON, or no object.
    """
    try:
        values = json.loads(text.strip() or "{}")
    except (ValueError, RecursionError):
        raise NotJson(label, text) from None
    if not isinstance(values, dict):
        raise NotJson(label, text)
    return values
