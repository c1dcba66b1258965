"""Flows: what a run executes. A flow called by a flow is a call of the same attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from headway.options import (
    UNSET,
    Retries,
    choice,
    clean_description,
    clean_name,
    clean_tags,
    positive,
)
from headway.pool import THREADS_MAX
from headway.targets import Kind, Target, adopt_identity, check_function, is_async

P = ParamSpec("P")
R = TypeVar("R")

OnLost = Literal["retry", "hold", "fail"]
_NO_RETRIES = Retries(0, 0.0, 1.0, 0.0)


class Flow(Target, Generic[P, R]):
    """A function under `@flow`. Called directly, it is the function."""

    kind: Kind = "flow"

    def __init__(self, fn: Callable[P, R], options: dict[str, Any]) -> None:
        check_function(fn)
        self.fn: Callable[P, R] = fn
        self._options = options
        self.is_async = is_async(fn)
        self.name = clean_name(options["name"], fn)
        self.description = clean_description(options["description"], fn)
        self.tags = clean_tags(options["tags"])
        self.run_retries = Retries(options["retries"], options["retry_delay"], 1.0, 0.0)
        self.on_lost = choice("on_lost", options["on_lost"], ("retry", "hold", "fail"))
        self.threads = positive("threads", options["threads"])
        # As a call inside another flow it is tried once: its tasks have their retries, its run those of the deployment.
        self.retries = _NO_RETRIES
        self.key = None
        self.durable = "group"
        self.result = "json"
        self.binding = None
        adopt_identity(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function. Inside a run, a call of the attempt: skipped if an earlier attempt completed the equal one."""
        value: R = self._call(args, kwargs)
        return value

    def with_options(
        self,
        *,
        name: str = UNSET,
        description: str = UNSET,
        tags: Iterable[str] = UNSET,
        retries: int = UNSET,
        retry_delay: float | Sequence[float] = UNSET,
        on_lost: OnLost = UNSET,
        threads: int = UNSET,
    ) -> Flow[P, R]:
        """The same function under changed options; this flow stays as it is."""
        given = {
            name: value for name, value in locals().items() if value is not UNSET and name != "self"
        }
        return Flow(self.fn, {**self._options, **given})


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    retries: int = 0,
    retry_delay: float | Sequence[float] = 0.0,
    on_lost: OnLost = "retry",
    threads: int = THREADS_MAX,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    retries: int = 0,
    retry_delay: float | Sequence[float] = 0.0,
    on_lost: OnLost = "retry",
    threads: int = THREADS_MAX,
) -> Any:
    """Makes a function a flow; use it bare (`@flow`) or with options (`@flow(retries=2)`).

    A flow waits at its end for the calls it has submitted. It fails when its function raises, or when a submitted call
    failed and nobody looked at its future.

    Args:
        fn: The function, sync or async. Its type hints become the form and the check of the run's parameters.
        name: Shown; the function's name by default.
        description: Shown; the docstring by default.
        tags: Shown and searched by.
        retries: How many more attempts a failed run gets. Decided by the control plane, so it survives this process;
            each attempt skips the calls that have completed. Without effect on a flow called inside a flow.
        retry_delay: Seconds before a retry, or a list with one number for each (the last one repeats).
        on_lost: What happens when the process or its agent is lost: a new attempt, wait for a person, or fail.
        threads: How many submitted calls run at a time, at most.

    Raises:
        InvalidOption: An option cannot work, or the function is a method or a generator.
    """
    options = {name: value for name, value in locals().items() if name != "fn"}
    if fn is not None:
        return Flow(fn, options)
    return lambda function: Flow(function, options)
