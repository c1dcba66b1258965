"""Flows: what a run executes. A flow called by a flow is a call of the same attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from headway.definitions import Definition, Kind
from headway.options import (
    FLOW_DEFAULTS,
    FlowOptions,
    Retries,
    choice,
    clean_grace,
    merged,
    positive,
)
from headway.runners import check_runner

if TYPE_CHECKING:
    from typing import Unpack

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_NO_RETRIES = Retries(0)


class Flow(Definition, Generic[P, R_co]):
    """A function under `@flow`. Called directly, it is the function."""

    kind: Kind = "flow"
    fn: Callable[P, R_co]

    def __init__(self, fn: Callable[P, R_co], options: dict[str, Any]) -> None:
        self._adopt(fn, options, run_name="flow_run_name")
        self.run_retries = Retries(options["retries"], options["retry_delay"])
        self.on_lost = choice("on_lost", options["on_lost"], ("retry", "hold", "fail"))
        self.cancel_grace = clean_grace(options["cancel_grace"])
        self.isolation = choice("isolation", options["isolation"], ("process", "reuse"))
        self.max_runs_per_process, self.max_memory_mb = (
            None if options[name] is None else positive(name, options[name])
            for name in ("max_runs_per_process", "max_memory_mb")
        )
        self.on_code_change = choice(
            "on_code_change", options["on_code_change"], ("trust", "rerun", "ask")
        )
        self.task_runner = check_runner(options["task_runner"])
        # As a call inside another flow it is tried once: its tasks have their retries, its run those of the deployment.
        self.retries = _NO_RETRIES

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls the function. Inside a run, a call of the attempt: skipped if an earlier attempt completed the equal one."""
        value: R_co = self._call(args, kwargs)
        return value

    def with_options(self, **options: Unpack[FlowOptions]) -> Flow[P, R_co]:
        """The same function under changed options; this flow stays as it is. Raises as `flow` does."""
        return Flow(self.fn, merged(self._options, options))


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes a function a flow; use it bare (`@flow`) or with options (`@flow(retries=2)`).

    A flow waits at its end for the calls it has submitted. It fails when its function raises, or when a submitted call
    failed and nobody looked at its future.

    Args:
        fn: The function, sync or async. Its type hints become the form and the check of the run's parameters.
        **options: By name, all with a default:

            - `name`: Shown; the function's name by default.
            - `description`: Shown; the docstring by default.
            - `version`: Words of yours for the state of the code: shown with the deployment, and with each run that was made
              from it; in a run `run_context().flow_version`.
            - `tags`: Shown and searched by.
            - `flow_run_name`: Names a call of this flow inside another flow: a template over the parameters
              (`"daily {day}"`), or a function of them.
            - `retries`: How many more attempts a failed run gets. Decided by the control plane, so it survives this
              process; each attempt skips the calls that have completed. Without effect on a flow called inside a flow.
            - `retry_delay`: Seconds or a timedelta before a retry; a list with one for each (the last one repeats); or
              a function of the failed try's number, such as `exponential(10)`, which `headway deploy` writes out.
            - `timeout`: Seconds or a timedelta that an attempt may take. Kept by the supervisor's clock: the attempt is
              then stopped as a cancelled one is (cooperatively, SIGTERM, SIGKILL) and fails with `TimedOut`.
            - `log_prints`: What it and its tasks print is logged with the call it came from, at INFO.
            - `on_running`, `on_completion`, `on_failure`, `on_cancellation`, `on_crashed`: Functions, or lists of them,
              that take a `StateChange`. They run in the flow's process after the change was recorded; what they raise
              is logged and changes nothing. When that process has died, its supervisor starts another for
              `on_crashed` (or `on_cancellation`); it has 30 s.
            - `on_code_change`: What a later attempt does with the kept result of a task whose own code has changed
              since (or whose `version`, if it has one): use it (`trust`), make it again (`rerun`), or suspend the run
              until a person says which (`ask`).
            - `cancel_grace`: Seconds or a timedelta that a cancelled run, or one whose time is up, has for its own end: for
              `finally`, `on_rollback` hooks, `on_cancellation`. Then its process gets SIGTERM. 5 s by default, a week at most;
              without effect on a flow called inside a flow.
            - `on_lost`: What happens when the process or its agent is lost: a new attempt, wait for a person, or fail.
            - `isolation`: `process`, each run has a process of its own, or `reuse`, a process takes run after run of
              the same code; `headway deploy --isolation` wins. See docs/guides/isolation.md for what runs then share.
            - `max_runs_per_process`, `max_memory_mb`: With `reuse`, after how many runs (1,000 by default) and from how
              many MiB of memory on (1,024) a process takes no other run.
            - `task_runner`: Where and how many submitted calls run at a time: `ThreadRunner(32)` by default,
              `ProcessRunner()`, or an adapter.

    Raises:
        InvalidOption: An option cannot work, or the function is a method or a generator.
        TypeError: There is no such option.
    """
    chosen = merged(FLOW_DEFAULTS, options)
    if fn is not None:
        return Flow(fn, chosen)
    return lambda function: Flow(function, chosen)
