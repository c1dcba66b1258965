"""A form from a JSON Schema: one field a parameter, and back from the posted texts to values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "p."
_FORMS = {"date": "date", "time": "time"}
_TEXTS = frozenset({"text", *_FORMS.values()})
_EXAMPLES = {
    "date": "date",
    "time": "time",
    "date-time": "date and time with zone, such as 2026-01-31T09:00:00+01:00",
}
_NULLABLE = "x-or-null"  # of our own, beside what the schema says


@dataclass(frozen=True, slots=True)
class Field:
    """An input. `kind`: text, date, time, number, checkbox, choice or json."""

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
        value = _to_text(current, kind) if known and not _is_absent(current, definition) else ""
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
            return _FORMS.get(str(definition.get("format")), "text")
        case "integer" | "number":
            return "number"
        case "boolean":
            return "checkbox"
        case _:
            return "json"


def _type_words(definition: Mapping[str, Any]) -> str:
    match definition.get("type"):
        case "string" if definition.get("format") in _EXAMPLES:
            return _EXAMPLES[definition["format"]]
        case "object" if isinstance(definition.get("properties"), Mapping):
            return f"as JSON: {{{', '.join(_entry_words(definition))}}}"
        case str() as kind if kind in {"object", "array"}:
            return f"{kind}, as JSON"
        case str() as kind:
            return kind
        case _:
            return "as JSON"


def _entry_words(definition: Mapping[str, Any]) -> list[str]:
    """Name what an object holds, with what may be left out in question."""
    required = definition.get("required", ())
    return [
        f'"{name}": {inner.get("type", "…") if isinstance(inner, Mapping) else "…"}'
        + ("" if name in required else "?")
        for name, inner in definition["properties"].items()
    ]


def _is_absent(value: Any, definition: Mapping[str, Any]) -> bool:
    return value is None and _NULLABLE in definition


def _to_text(value: Any, kind: str) -> str:
    if kind == "checkbox":
        return "true" if value else ""
    if kind in {*_TEXTS, "choice"} and isinstance(value, str):
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
        elif not text.strip() and _NULLABLE in definition:
            if name in schema.get("required", ()):
                values[name] = None
        elif kind in _TEXTS:
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
    """Follow one reference within the schema; what cannot be followed is edited as JSON. Something or null is that something,
    which may be left empty.
    """
    if not isinstance(definition, Mapping):
        return {}
    options = definition.get("anyOf")
    if isinstance(options, list) and len(options) == 2 and definition.get("default") is None:
        others = [each for each in options if each != {"type": "null"}]
        if len(others) == 1:
            outer = {name: value for name, value in definition.items() if name != "anyOf"}
            inner = {**_resolve(others[0], schema), **outer}
            # An unticked box says no, not nothing.
            return definition if inner.get("type") == "boolean" else {**inner, _NULLABLE: True}
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
