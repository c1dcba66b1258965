"""What is told beside the facts of a call: its hooks, its own name, what it prints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from headway.context import Call, context_of
from headway.definitions import Definition
from headway.hooks import Hook, State, StateChange
from headway.runtime.channel import clean

NAME_MAX = 200
_log = logging.getLogger("headway")


def run_hooks(
    call: Call,
    definition: Definition,
    state: State,
    value: Any = None,
    error: BaseException | None = None,
    message: str = "",
) -> None:
    """Runs the hooks for this state in order. What one raises is logged and changes nothing."""
    change = _change(call, definition, state, value, error, message)
    for hook in definition.hooks.get(state, ()):
        try:
            hook(change)
        except Exception:  # noqa: BLE001 - code of the user's; it is logged
            _log_failure(hook, change)


async def run_hooks_async(
    call: Call,
    definition: Definition,
    state: State,
    value: Any = None,
    error: BaseException | None = None,
    message: str = "",
) -> None:
    """As `run_hooks`, for hooks of async functions, which may be async themselves."""
    change = _change(call, definition, state, value, error, message)
    for hook in definition.hooks.get(state, ()):
        try:
            answer: Any = hook(change)
            if hasattr(answer, "__await__"):
                await answer
        except Exception:  # noqa: BLE001 - code of the user's; it is logged
            _log_failure(hook, change)


def _change(
    call: Call,
    definition: Definition,
    state: State,
    value: Any,
    error: BaseException | None,
    message: str,
) -> StateChange:
    return StateChange(
        state, definition.kind, definition.name, context_of(call), value, error, message
    )


def _log_failure(hook: Hook, change: StateChange) -> None:
    name = getattr(hook, "__qualname__", repr(hook))
    _log.exception("the hook %s failed when %s was %s", name, change.name, change.state)


def name_call(call: Call, definition: Definition, arguments: dict[str, Any]) -> str:
    """What the option `task_run_name` or `flow_run_name` makes of the arguments; empty when it fails, which is logged."""
    try:
        made = definition.run_name
        text = made.format_map(arguments) if isinstance(made, str) else str(made(arguments))  # type: ignore[misc] # the caller has looked that there is one
    except Exception as error:  # noqa: BLE001 - names are for people: a wrong one fails no call
        _log.warning("the run name of %s could not be made: %r", call.name, error)
        return ""
    return clean(" ".join(text.split())[:NAME_MAX])


def _lines(texts: tuple[Any, ...], sep: str) -> Iterator[str]:
    yield from sep.join(map(str, texts)).splitlines()


def listen_to_prints(is_logged: Callable[[], bool], stdout: Any = None) -> None:
    """Makes `print` log where `is_logged()` says so. Other files than stdout, and sys.stdout.write, are as ever.

    `stdout`: what counts as that; by default the process's own.
    """
    import builtins  # noqa: PLC0415 - who never logs prints changes nothing
    import sys  # noqa: PLC0415

    plain_print = builtins.print
    logger = logging.getLogger("headway.print")
    own = sys.__stdout__ if stdout is None else stdout

    def print(  # noqa: A001 - it stands for the builtin, signature and all
        *texts: Any,
        sep: str | None = " ",
        end: str | None = "\n",
        file: Any = None,
        flush: bool = False,
    ) -> None:
        # A stdout that somebody has put in its place (redirect_stdout) gets what it was put there for.
        is_own = sys.stdout is own and (file is None or file is sys.stdout)
        if is_own and is_logged():
            for line in _lines(texts, " " if sep is None else sep):
                logger.info("%s", line)
        else:
            plain_print(*texts, sep=sep, end=end, file=file, flush=flush)

    builtins.print = print
