"""Targets: what a task makes in the world outside, and how to see that it is there. A call whose target exists is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from headway.errors import InvalidOption, TargetMissing, WrongTarget


@runtime_checkable
class Exists(Protocol):
    """Anything that can say whether it is complete. Half made, it must say no."""

    def exists(self) -> bool:
        """Whether it is there, whole. What it raises is a failure of the call, with its retries."""


TargetOf = Callable[[Mapping[str, Any]], Exists]
"""Takes a call's bound arguments by name."""


def clean_target(given: object) -> TargetOf | None:
    """The option `target`. Raises InvalidOption."""
    if given is None or (callable(given) and not isinstance(given, type)):
        return given
    if isinstance(given, str) and given:
        from headway.target_kinds import FileTarget  # noqa: PLC0415 - dataclasses are 10 ms that few flows need

        return lambda arguments: FileTarget(given.format_map(arguments))
    if isinstance(given, Exists):
        return lambda _arguments: given
    raise InvalidOption(
        "target must be a path (a template over the arguments), something with exists(), or a function of the arguments"
        f" (a mapping by name) that gives one, not {given!r}"
    )


def target_of(name: str, made_by: TargetOf, arguments: Mapping[str, Any]) -> Exists:
    """What this call makes. Raises WrongTarget."""
    made = made_by(arguments)
    if not isinstance(made, Exists):
        raise WrongTarget(
            f"the target of {name} has to have exists(), and {made!r} has not: give a FileTarget, for example"
        )
    return made


def confirmed(name: str, target: Exists, value: object) -> Exists:
    """The value of a call that was executed: its target, as a skipped one's. Raises TargetMissing, WrongTarget."""
    if value is not None and type(value) is not type(target):
        raise WrongTarget(
            f"{name} returned a {type(value).__name__}, and its target is a {type(target).__name__}: a call that is skipped"
            " can give its target alone, so return that, and read what is in it where it is needed"
        )
    if not target.exists():
        raise TargetMissing(f"{name} has returned, and its target is not there: {target!r}")
    return target
