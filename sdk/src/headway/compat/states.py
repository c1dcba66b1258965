"""Hooks and retry conditions as Prefect has them, told by what Headway tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

from headway.context import run_context
from headway.definitions import is_async
from headway.hooks import StateChange


class State(NamedTuple):
    """What hooks and retry conditions of Prefect's are given of a state."""

    name: str
    """`Running`, `Completed`, `Failed`, `Cancelled`, `Crashed`."""
    message: str = ""
    data: Any = None
    error: BaseException | None = None

    @property
    def type(self) -> str:
        """The name in capitals."""
        return self.name.upper()

    def result(self, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002 - Prefect's signature
        """The value. Raises what was raised, or gives it with `raise_on_failure=False`."""
        if self.error is not None and raise_on_failure:
            raise self.error
        return self.data if self.error is None else self.error

    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self.name == "Completed"

    def is_failed(self) -> bool:
        """Whether it ended with an error."""
        return self.name == "Failed"

    def is_crashed(self) -> bool:
        """Whether its process died."""
        return self.name == "Crashed"

    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.name == "Cancelled"

    def is_running(self) -> bool:
        """Whether a try begins."""
        return self.name == "Running"

    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.name != "Running"


def adapted_hook(hook: Callable[[Any, Any, State], Any]) -> Callable[[StateChange], Any]:
    """Prefect's hooks take the flow or task, its run, and the state."""

    @wraps(hook)
    def adapted(change: StateChange) -> object:
        return hook(*_told(change))

    @wraps(hook)
    async def adapted_async(change: StateChange) -> None:
        await hook(*_told(change))

    return adapted_async if is_async(hook) else adapted


def _told(change: StateChange) -> tuple[SimpleNamespace, SimpleNamespace, State]:
    of_task = change.kind == "task"
    context = change.run
    run = SimpleNamespace(
        id=context.call if of_task else context.run,
        name=context.call_run_name or (context.call_name if of_task else context.run_name),
        run_count=context.try_number if of_task else context.attempt,
    )
    message = change.message or (str(change.error) if change.error else "")
    state = State(change.state.capitalize(), message, change.value, change.error)
    return SimpleNamespace(name=change.name), run, state


def adapted_condition(
    condition: Callable[[Any, Any, State], bool],
) -> Callable[[Any, Exception], bool]:
    """Prefect's conditions take the task, its run, and the state of the failed try."""

    def wants(target: Any, error: Exception) -> bool:
        context = run_context()
        run = SimpleNamespace(id=context.call, name=context.call_name, run_count=context.try_number)
        return condition(target, run, State("Failed", str(error), None, error))

    return wants
