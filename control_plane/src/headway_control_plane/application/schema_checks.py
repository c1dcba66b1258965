"""JSON Schema with a bound on the work: schemas and values come from tenants, and all tenants share the process that checks them.

A short schema can ask for more steps than there is time: references that fork twenty times over, a thousand alternatives of a
large value. Each keyword pays for what it looks at, out of a budget of the check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.protocols import Validator

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

MOST_STEPS = 1_000_000
"""Of one check: a second or two. The largest ordinary parameters take half of it."""
MOST_STEPS_OF_SCHEMA = 3 * MOST_STEPS
"""Of checking a schema itself, once a deployment: some thousand subschemas."""
_SUBSCHEMA, _REFERENCE = 3, 10  # what these cost beside a comparison
_MESSAGE = 400
_REPR_A_STEP = 16


class TooMuchWork(Exception):
    """Nobody will know whether the value fits: the check was given up."""


_left: ContextVar[int] = ContextVar("left")


def errors_of(validator: Validator, value: Any, most: int = MOST_STEPS) -> list[ValidationError]:
    """What does not fit. Raises TooMuchWork, and RecursionError for a schema that refers to itself without end."""
    before = _left.set(most)
    try:
        return list(validator.iter_errors(value))
    finally:
        _left.reset(before)


def _spend(steps: int) -> None:
    left = _left.get() - steps
    if left < 0:
        raise TooMuchWork
    _left.set(left)


def _counted(keyword: Keyword, cost: int = 1) -> Keyword:
    def checked(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        _spend(cost + _length(wanted) + _length(value))
        for error in keyword(validator, wanted, value, schema) or ():
            # It may quote the whole value, and there may be as many as there are alternatives.
            _spend(len(error.message) // _REPR_A_STEP)
            if len(error.message) > _MESSAGE:
                error.message = (
                    f"{error.message[: _MESSAGE // 2]} ... {error.message[-_MESSAGE // 2 :]}"
                )
            yield error

    return checked


def _compared(keyword: Keyword) -> Keyword:
    def checked(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        _spend(_size(wanted))
        yield from keyword(validator, wanted, value, schema) or ()

    return checked


def _unique(validator: Any, wanted: Any, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """Each compared with those before it at once: a set of two thousand objects is nothing unusual."""
    if not wanted or not validator.is_type(value, "array"):
        return
    _spend(_size(value))
    if len({_identity(item) for item in value}) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _refused(_validator: Any, _wanted: Any, _value: Any, _schema: Any) -> Iterator[ValidationError]:
    """No deployment has one where it counts; whoever hides one gets this. It could look for a match without end."""
    yield ValidationError("is checked against a regular expression, which is not supported")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0


def _size(value: Any) -> int:
    """How many values it is made of."""
    count, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        count += 1
        waiting += (
            item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        )
    return count


def _identity(value: Any) -> str:
    """Equal for what is equal in JSON: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return list(map(_plain, value))
    return (
        {name: _plain(each) for name, each in value.items()} if isinstance(value, dict) else value
    )


def _keywords() -> Mapping[str, Keyword]:
    known: dict[str, Keyword] = dict(Draft202012Validator.VALIDATORS)
    known |= {name: _compared(known[name]) for name in ("const", "enum")}
    known |= {"uniqueItems": _unique, "pattern": _refused, "patternProperties": _refused}
    return {
        name: _counted(keyword, _REFERENCE if name in ("$ref", "$dynamicRef") else 1)
        for name, keyword in known.items()
    }


def _evolve(validator: Any, **changes: Any) -> Any:
    """For each subschema; one that names a dialect would be checked by the library's own class, which counts nothing."""
    _spend(_SUBSCHEMA)
    schema = changes.get("schema", validator.schema)
    if isinstance(schema, dict) and "$schema" in schema:
        schema = {name: value for name, value in schema.items() if name != "$schema"}
    return _evolve_uncounted(validator, **{**changes, "schema": schema})


BoundedValidator: Any = validators.extend(Draft202012Validator, _keywords())  # type: ignore[no-untyped-call] # the library says no types for it
_evolve_uncounted = BoundedValidator.evolve
BoundedValidator.evolve = _evolve
