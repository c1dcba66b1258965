"""A flow's signature as the definition of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from headway.errors import NotAFlow, ParameterError
from headway.flows import Flow
from headway.parameters.hints import ShapeBuilder, type_hints
from headway.parameters.plain import NotPlain, plain
from headway.parameters.shapes import Definitions, Field, Problems, object_schema, read_fields


class _Signature(NamedTuple):
    """`open_ended`: any other name is taken too (`**kwargs`); `positional`: fields that cannot be given by name."""

    fields: list[Field]
    open_ended: bool
    positional: list[str]


_cache: WeakKeyDictionary[Flow[..., Any], _Signature] = WeakKeyDictionary()


def schema(flow: Flow[..., Any]) -> dict[str, Any]:
    """JSON Schema (2020-12) of the flow's parameters, an object by name.

    Raises NotAFlow when the signature cannot be filled by name (`*args`).
    """
    fields, open_ended, _ = _signature(flow)
    definitions: Definitions = {}
    described = object_schema(fields, definitions, open_ended=open_ended)
    return {**described, **({"$defs": definitions} if definitions else {})}


def defaults(flow: Flow[..., Any]) -> dict[str, Any]:
    """Defaults as JSON, by name; those that JSON cannot show are left out."""
    shown = {}
    for field in _signature(flow).fields:
        if field.has_default:
            try:
                shown[field.name] = plain(field.default)
            except NotPlain:
                continue  # it stays optional, without a value to show
    return shown


def validate(flow: Flow[..., Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values as the Python values that the hints ask for; what is not given keeps its default.

    Raises ParameterError with all that is wrong.
    """
    fields, open_ended, _ = _signature(flow)
    problems: Problems = []
    values = read_fields(fields, dict(raw), "", problems, open_ended=open_ended)
    if problems:
        raise ParameterError(flow.name, sorted(problems))
    return values


def apply(flow: Flow[..., Any], values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The (args, kwargs) that give the flow these values."""
    positional = []
    named = dict(values)
    for name in _signature(flow).positional:
        if name not in named:
            break  # what follows has defaults as well, and cannot be given without this one
        positional.append(named.pop(name))
    return tuple(positional), named


def _signature(flow: Flow[..., Any]) -> _Signature:
    known = _cache.get(flow)
    if known is None:
        known = _cache[flow] = _read_signature(flow)
    return known


def _read_signature(flow: Flow[..., Any]) -> _Signature:
    parameters = inspect.signature(flow.fn).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        raise NotAFlow(
            f"flow {flow.name!r} takes *args, which parameters by name cannot fill; name them"
        )
    hints = type_hints(flow.fn)
    builder = ShapeBuilder()
    fields = [
        Field(
            parameter.name,
            builder.shape(hints.get(parameter.name, Any)),
            required=parameter.default is parameter.empty,
            has_default=parameter.default is not parameter.empty,
            default=parameter.default,
        )
        for parameter in parameters
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    positional = [each.name for each in parameters if each.kind is each.POSITIONAL_ONLY]
    return _Signature(fields, open_ended, positional)
