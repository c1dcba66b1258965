"""Arguments of a call bound to the names of its function, fast for the plain signatures that most functions have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from headway.definitions import Definition

Binding = Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]


def bind(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Every parameter with its value, defaults included. TypeError when the arguments do not fit."""
    binding: Binding | None = definition.binding
    if binding is None:
        binding = definition.binding = _binding(definition)
    return binding(args, kwargs)


def _binding(definition: Definition) -> Binding:
    signature = inspect.signature(definition.fn)
    parameters = signature.parameters.values()
    names = tuple(parameter.name for parameter in parameters)
    plain = all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    count = len(names) if plain else -1

    def bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) == count and not kwargs:
            return dict(zip(names, args, strict=True))
        try:
            arguments = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{definition.name}(): {error}") from None
        arguments.apply_defaults()
        return arguments.arguments

    return bound
