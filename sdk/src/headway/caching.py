"""What makes two calls of a task equal for the cache, beyond runs: policies for `@task(cache=...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from headway.errors import InvalidOption

CacheKey = Callable[[Mapping[str, Any]], str | None]
"""Takes a call's bound arguments by name. None: this call does not use the cache."""
Part = Literal["inputs", "source", "flow_parameters"]


class CachePolicy:
    """What a cached result stands by. Made from INPUTS, SOURCE, FLOW_PARAMETERS and functions, put together with `+`.

    Two calls have the same result in the cache if all parts of the policy are equal. The task itself (its module and name)
    and the project that it is of always belong to it.
    """

    __slots__ = ("functions", "omitted", "parts")

    def __init__(
        self,
        parts: frozenset[Part] = frozenset(),
        functions: tuple[CacheKey, ...] = (),
        omitted: frozenset[str] = frozenset(),
    ) -> None:
        self.parts = parts
        self.functions = functions
        self.omitted = omitted
        """Names of arguments that do not count."""

    def __add__(self, other: CachePolicy | CacheKey) -> CachePolicy:
        """Both have to be equal."""
        if isinstance(other, CachePolicy):
            return CachePolicy(
                self.parts | other.parts,
                self.functions + other.functions,
                self.omitted | other.omitted,
            )
        if not callable(other):
            return NotImplemented
        return CachePolicy(self.parts, (*self.functions, other), self.omitted)

    def __radd__(self, other: CacheKey) -> CachePolicy:
        if not callable(other):
            return NotImplemented
        return CachePolicy(self.parts, (other, *self.functions), self.omitted)

    def __sub__(self, argument: str) -> CachePolicy:
        """`INPUTS - "debug"`: the argument `debug` does not count. Raises InvalidOption without INPUTS."""
        if "inputs" not in self.parts or not isinstance(argument, str):
            raise InvalidOption(
                f'only the name of an argument can be taken from INPUTS: INPUTS - "debug", not {argument!r}'
            )
        return CachePolicy(self.parts, self.functions, self.omitted | {argument})

    def __repr__(self) -> str:
        words = [part.upper() for part in sorted(self.parts)]
        words += [getattr(fn, "__qualname__", repr(fn)) for fn in self.functions]
        return " + ".join(words) + "".join(f" - {name!r}" for name in sorted(self.omitted))


INPUTS: Final = CachePolicy(frozenset({"inputs"}))
"""The call's arguments, defaults included, by value."""
SOURCE: Final = CachePolicy(frozenset({"source"}))
"""The code of the task's function, not of what it calls; where the task has a `version`, that alone."""
FLOW_PARAMETERS: Final = CachePolicy(frozenset({"flow_parameters"}))
"""The parameters of the run."""


def clean_cache(given: object, expires: object, refresh: object) -> CachePolicy | None:
    """The option `cache`, checked together with those that mean nothing without it. Raises InvalidOption."""
    if given is None:
        if expires is not None or refresh:
            raise InvalidOption(
                "cache_expires and refresh_cache say something about the cache: add cache=INPUTS, or another policy"
            )
        return None
    if isinstance(given, CachePolicy):
        return given
    if callable(given) and not isinstance(given, type):
        return CachePolicy(functions=(given,))
    raise InvalidOption(
        f"cache must be INPUTS, SOURCE, FLOW_PARAMETERS, a function of the arguments, or some of them with +, not {given!r}"
    )
