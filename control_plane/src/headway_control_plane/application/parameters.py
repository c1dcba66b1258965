"""A run's parameters: merged with the deployment's defaults, checked against its schema before the run is accepted."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from headway_control_plane.application.errors import (
    InvalidParameters,
    InvalidRequest,
    Problem,
    TooLarge,
)
from headway_control_plane.application.json_values import encode, problems_of
from headway_control_plane.application.schema_checks import (
    MOST_STEPS_OF_SCHEMA,
    BoundedValidator,
    TooMuchWork,
    errors_of,
)

MAX_BYTES = 256 * 1024
_MAX_PROBLEMS = 100


# Keywords whose values are data, not schemas.
_PLAIN_VALUES = frozenset({"const", "default", "enum", "examples"})
# Keywords whose values are schemas by name: a parameter may be called `default`.
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_TOO_MUCH = "takes too long to check: let its references and alternatives fork less, or check the value in the flow"


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that is none, or that points outside itself: nothing is ever fetched to check parameters."""
    problems = list(problems_of(schema, "parameter_schema"))
    if not problems:
        problems = [
            *_schema_problems(schema),
            *_reference_problems(schema),
            *_pattern_problems(schema),
        ]
    if problems:
        raise InvalidRequest(
            "The parameter schema is no valid JSON Schema (draft 2020-12).",
            problems=problems[:_MAX_PROBLEMS],
        )


def merge_parameters(
    deployment: str, schema: bytes, defaults: bytes, given: Mapping[str, Any]
) -> bytes:
    """Return the parameters to store, or refuse with all problems at once."""
    problems = list(problems_of(given, "parameters"))
    if problems:
        raise InvalidParameters(
            "The parameters cannot be stored.", problems=problems[:_MAX_PROBLEMS]
        )
    merged = {**_object(defaults), **given}
    encoded = encode(merged)
    if len(encoded) > MAX_BYTES:
        raise TooLarge(
            f"The parameters take {len(encoded):,} bytes; the limit is {MAX_BYTES:,}.",
            hint="Put large data into a file or an object store and pass its name.",
        )
    try:
        problems = list(_parameter_problems(schema, merged))
    except RecursionError:
        problems = [Problem("$", "the schema refers to itself without end; deploy it mended")]
    except TooMuchWork:
        problems = [Problem("parameters", _TOO_MUCH)]
    if problems:
        raise InvalidParameters(
            f"The parameters do not fit the deployment {deployment!r}.",
            hint=f"See what it takes with: headway deployments show {deployment}",
            problems=problems[:_MAX_PROBLEMS],
        )
    return encoded


def value_problems(schema: bytes, value: Any) -> list[Problem]:
    """What does not fit in a value that is no parameter; the schema was checked."""
    try:
        return list(_parameter_problems(schema, value, "value"))[:_MAX_PROBLEMS]
    except RecursionError:
        return [Problem("$", "the schema refers to itself without end; mend it in the flow")]
    except TooMuchWork:
        return [Problem("value", _TOO_MUCH)]


def _parameter_problems(schema: bytes, given: Any, name: str = "parameters") -> Iterator[Problem]:
    validator = _validator(hashlib.sha256(schema).digest(), schema)
    for error in sorted(errors_of(validator, given), key=lambda error: error.json_path):
        yield from _explain(error, name)


def _explain(error: ValidationError, name: str) -> Iterator[Problem]:
    path = name + error.json_path.removeprefix("$")
    instance: Any = error.instance
    schema: Any = error.schema
    match error.validator:
        case "required":
            # The library reports one error a missing name, each with the whole list; the message begins with its own.
            missing = (name for name in schema["required"] if error.message.startswith(repr(name)))
            yield from (Problem(f"{path}.{name}", "is required") for name in missing)
        case "additionalProperties" if "patternProperties" not in schema:
            known = schema.get("properties", {})
            yield from (
                Problem(
                    f"{path}.{name}", f"is not a parameter; there are: {', '.join(known) or 'none'}"
                )
                for name in instance
                if name not in known
            )
        case _:
            yield Problem(path, _shorten(error.message))


def _shorten(message: str, limit: int = 300) -> str:
    return (
        message
        if len(message) <= limit
        else f"{message[: limit // 2]} ... {message[-limit // 2 :]}"
    )


@lru_cache(maxsize=256)
def _validator(_digest: bytes, schema: bytes) -> Validator:
    # With a registry of its own the library resolves nothing over the network.
    made: Validator = BoundedValidator(_object(schema), registry=Registry())
    return made


def _schema_problems(schema: Mapping[str, Any]) -> Iterator[Problem]:
    known = BoundedValidator(Draft202012Validator.META_SCHEMA)
    try:
        error = best_match(iter(errors_of(known, schema, MOST_STEPS_OF_SCHEMA)))
    except TooMuchWork:
        yield Problem("parameter_schema", "is too large to check; let it have fewer parts")
        return
    if error is not None:
        yield Problem(
            "parameter_schema" + error.json_path.removeprefix("$"), _shorten(error.message)
        )


def _reference_problems(schema: Mapping[str, Any]) -> Iterator[Problem]:
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in _references(schema):
        if not reference.startswith("#"):
            yield Problem(
                "parameter_schema",
                f"refers to {reference!r}; only references within the schema (#/...) work",
            )
            continue
        if _leads_into_data(reference):
            yield Problem(
                "parameter_schema", f"refers to {reference!r}, which is a value, no schema"
            )
            continue
        try:
            resolver.lookup(reference)
        except Unresolvable:
            yield Problem("parameter_schema", f"refers to {reference!r}, which is not in it")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (
            value[name] for name in ("$ref", "$dynamicRef") if isinstance(value.get(name), str)
        )
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)


def _leads_into_data(reference: str) -> bool:
    """Whether it names something behind `default` and the like, where nobody has looked for expressions."""
    parts = iter(unquote(reference).split("/")[1:])
    for part in parts:
        if part in _PLAIN_VALUES:
            return True
        if part in _NAMED:
            next(parts, None)
    return False


def _pattern_problems(value: Any) -> Iterator[Problem]:
    """Regular expressions are refused: one that backtracks without end would hold up every tenant of the process."""
    if isinstance(value, list):
        for child in value:
            yield from _pattern_problems(child)
    if not isinstance(value, Mapping):
        return
    for keyword, child in value.items():
        is_expression = keyword == "pattern" and isinstance(child, str)
        if is_expression or keyword == "patternProperties":
            words = f"{keyword} is not supported: check the form of a text in the flow"
            yield Problem("parameter_schema", words)
        elif keyword in _NAMED and isinstance(child, Mapping):
            yield from _pattern_problems(list(child.values()))
        elif keyword not in _PLAIN_VALUES:
            yield from _pattern_problems(child)


def _object(encoded: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(encoded or b"{}")
    return value
