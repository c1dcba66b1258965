"""Hooks: functions of the user's that are told when a flow or task begins or ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from headway.errors import InvalidOption

if TYPE_CHECKING:
    from headway.context import RunContext

State = Literal["running", "completed", "failed", "cancelled", "crashed"]


class StateChange(NamedTuple):
    """What a hook is told."""

    state: State
    kind: Literal["flow", "task"]
    name: str
    """The flow's or task's name."""
    run: RunContext
    """The run, and the call that the change is about."""
    value: Any = None
    """What it returned, when `completed`."""
    error: BaseException | None = None
    """What it raised, when `failed` or `cancelled`. None where the process died before it could tell."""
    message: str = ""
    """Why, when `crashed`, or when `cancelled` by force."""


Hook = Callable[[StateChange], object]
Hooks = Mapping[State, tuple[Hook, ...]]

_OPTIONS: tuple[tuple[str, State], ...] = (
    ("on_running", "running"),
    ("on_completion", "completed"),
    ("on_failure", "failed"),
    ("on_cancellation", "cancelled"),
    ("on_crashed", "crashed"),
)


def clean_hooks(options: Mapping[str, Any], *, is_async: bool) -> Hooks:
    """Hooks by state; empty for a target without any. Raises InvalidOption."""
    found: dict[State, tuple[Hook, ...]] = {}
    for option, state in _OPTIONS:
        given = options.get(option, ())
        hooks = tuple(given) if isinstance(given, list | tuple) else (given,)
        for hook in hooks:
            _check(option, hook, is_async=is_async)
        if hooks:
            found[state] = hooks
    return found


def _check(option: str, hook: Any, *, is_async: bool) -> None:
    if not callable(hook):
        raise InvalidOption(
            f"{option} must be a function that takes a headway.StateChange, or a list of them, not {hook!r}"
        )
    code = getattr(hook, "__code__", None)
    if code is not None and code.co_flags & 0x80 and not is_async:
        raise InvalidOption(
            f"{option}: {hook.__qualname__} is async, which only hooks of async functions can be"
        )
