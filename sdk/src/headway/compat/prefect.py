"""Simple Prefect 3 code as it is: `from headway.compat.prefect import flow, task, get_run_logger, unmapped`.

Decorators take Prefect's options and give Headway's flows and tasks. What has no equivalent raises `NotInHeadway`, which says
what to use instead. `headway migrate prefect PATH` lists all that beforehand; new code imports from `headway`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, overload

import headway
from headway import caching
from headway.compat.child_runs import run_deployment
from headway.compat.errors import NoSuchMethod, NoSuchName, NoSuchOption, NotInHeadway
from headway.compat.names import (
    CALL_OPTIONS,
    FLOW_METHODS,
    FLOW_OPTIONS,
    IMPORTS,
    TASK_METHODS,
    TASK_OPTIONS,
    Mapped,
)
from headway.compat.outputs import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    emit_event,
    update_progress_artifact,
)
from headway.compat.states import State, adapted_condition, adapted_hook
from headway.compat.stored import Secret, Variable
from headway.compat.transactions import Transaction, adapted_transaction_hook, transaction
from headway.flows import Flow as OurFlow
from headway.futures import Future as PrefectFuture
from headway.futures import Futures as PrefectFutureList
from headway.futures import allow_failure, as_completed, unmapped, wait
from headway.options import FLOW_DEFAULTS, TASK_DEFAULTS, merged
from headway.runners import THREADS_MAX, ProcessRunner, ThreadRunner
from headway.tasks import Task as OurTask
from headway.transactions import clean_transaction_hooks

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
TxnHook = TypeVar("TxnHook", bound=Callable[[Transaction], Any])

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CachePolicy",
    "ConcurrentTaskRunner",
    "Flow",
    "NotInHeadway",
    "PrefectFuture",
    "PrefectFutureList",
    "ProcessPoolTaskRunner",
    "Secret",
    "State",
    "Task",
    "ThreadPoolTaskRunner",
    "Transaction",
    "Variable",
    "allow_failure",
    "as_completed",
    "atransaction",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "emit_event",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "pause_flow_run",
    "run_deployment",
    "runtime",
    "suspend_flow_run",
    "task",
    "task_input_hash",
    "transaction",
    "unmapped",
    "update_progress_artifact",
    "wait",
]


def __getattr__(name: str) -> Any:
    found = IMPORTS.get(name)
    if found is None:
        raise AttributeError(f"module 'headway.compat.prefect' has no attribute {name!r}")
    raise NoSuchName(_advice(f"prefect's {name}", found))


def _advice(what: str, found: Mapped) -> str:
    return f"{what} is not in Headway: {found.note}"


# Caching

CachePolicy = caching.CachePolicy
INPUTS: Final = caching.INPUTS
TASK_SOURCE: Final = caching.SOURCE
FLOW_PARAMETERS: Final = caching.FLOW_PARAMETERS


def _run_id(_arguments: Mapping[str, Any]) -> str:
    return headway.run_context().run


RUN_ID: Final = CachePolicy(functions=(_run_id,))
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
NO_CACHE: Final = None
task_input_hash: Final = INPUTS


# Transactions

atransaction: Final = transaction

# Task runners


class ThreadPoolTaskRunner(ThreadRunner):
    """`headway.ThreadRunner`."""

    __slots__ = ()

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers or THREADS_MAX)


ConcurrentTaskRunner = ThreadPoolTaskRunner


class ProcessPoolTaskRunner(ProcessRunner):
    """`headway.ProcessRunner`."""

    __slots__ = ()


# Options


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays of `backoff_factor` times 1, 2, 4 ... seconds: for `retry_delay_seconds`."""
    return lambda retries: [backoff_factor * 2**n for n in range(retries)]


def _delay(options: Mapping[str, Any]) -> Any:
    delay = options["retry_delay_seconds"]
    return list(delay(options.get("retries") or 0)) if callable(delay) else delay


def _by_key(
    key: Callable[[Any, dict[str, Any]], str | None],
) -> Callable[[Mapping[str, Any]], str | None]:
    """Prefect's function takes a context, of which ours can give the run's facts."""

    @wraps(key)
    def adapted(arguments: Mapping[str, Any]) -> str | None:
        facts = headway.run_context()
        return key(SimpleNamespace(task_run=facts, parameters=dict(arguments)), dict(arguments))

    return adapted


_HOOKS = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
_OF_TRANSACTIONS = {"on_commit", "on_rollback"}
_NO_EFFECT = ("persist_result", "cache_result_in_memory", "validate_parameters")
_RENAMED = {
    "timeout_seconds": "timeout",
    "retry_jitter_factor": "retry_jitter",
    "cache_policy": "cache",
    "cache_expiration": "cache_expires",
}


def _ours(
    decorator: str, table: Mapping[str, Mapped], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Headway's options for Prefect's. Raises NotInHeadway."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        found = table.get(name)
        if found is None:
            known = ", ".join(sorted(each for each in table if table[each].status != "missing"))
            raise NoSuchOption(f"{decorator} has no option {name!r}; it has: {known}")
        if found.status == "missing":
            raise NoSuchOption(_advice(f"{name} of {decorator}", found))
    ours = {
        _RENAMED.get(name, name): value for name, value in given.items() if name not in _NO_EFFECT
    }
    for name in _HOOKS:
        if name in ours:
            ours[name] = [adapted_hook(hook) for hook in _listed(ours[name])]
    if "retry_delay_seconds" in ours:
        ours["retry_delay"] = _delay(ours)
        del ours["retry_delay_seconds"]
    return ours


def _flow_options(options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("validate_parameters") is False:
        raise NoSuchOption(
            _advice("validate_parameters=False", FLOW_OPTIONS["validate_parameters"])
        )
    return _ours("@flow", FLOW_OPTIONS, options)


def _task_options(options: Mapping[str, Any]) -> dict[str, Any]:
    ours = _ours("@task", TASK_OPTIONS, options)
    for name in _OF_TRANSACTIONS & ours.keys():
        ours[name] = [adapted_transaction_hook(name, hook) for hook in _listed(ours[name])]
    if "retry_condition_fn" in ours:
        ours["retry_on"] = adapted_condition(ours.pop("retry_condition_fn"))
    if "cache_key_fn" in ours:
        key = ours.pop("cache_key_fn")
        ours["cache"] = key if isinstance(key, CachePolicy) else _by_key(key)
    if ("cache_expires" in ours or ours.get("refresh_cache")) and "cache" not in ours:
        ours["cache"] = DEFAULT
    if "result_serializer" in ours:
        ours["result"] = _codec(ours.pop("result_serializer"))
    return ours


def _codec(serializer: object) -> str:
    if serializer not in ("json", "pickle"):
        raise NoSuchOption(
            f"result_serializer is 'json' or 'pickle' in Headway, not {serializer!r}: for other types, headway.register_codec"
        )
    return str(serializer)


def _check_call(fn: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Prefect's options of calls are no arguments: the function would not know them."""
    for name in CALL_OPTIONS.keys() & kwargs.keys() - signature(fn).parameters.keys():
        raise NoSuchOption(_advice(f"{name} of this call", CALL_OPTIONS[name]))


# Decorators


class Flow(OurFlow[P, R_co]):
    """A Headway flow with Prefect's options."""

    def with_options(self, **options: Any) -> Flow[P, R_co]:
        """The same function under changed options, by Prefect's names."""
        return Flow(self.fn, merged(self._options, _flow_options(options)))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _check_call(self.fn, kwargs)
        return super()._call(args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in FLOW_METHODS:
            raise NoSuchMethod(_advice(f"the method {name} of flows", FLOW_METHODS[name]))
        raise AttributeError(f"a flow has no attribute {name!r}")


class Task(OurTask[P, R_co]):
    """A Headway task with Prefect's options."""

    def with_options(self, **options: Any) -> Task[P, R_co]:
        """The same function under changed options, by Prefect's names."""
        return Task(self.fn, merged(self._options, _task_options(options)))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _check_call(self.fn, kwargs)
        return super()._call(args, kwargs)

    def _submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], after: Sequence[Any] = ()
    ) -> PrefectFuture[Any]:
        _check_call(self.fn, kwargs)
        return super()._submit(args, kwargs, after)

    def on_commit(self, hook: TxnHook) -> TxnHook:
        """A decorator: the hook runs when the transaction that the task was called in is committed."""
        return self._with_hook("on_commit", hook)

    def on_rollback(self, hook: TxnHook) -> TxnHook:
        """A decorator: the hook runs when the transaction that the task was called in is rolled back."""
        return self._with_hook("on_rollback", hook)

    def _with_hook(self, option: str, hook: TxnHook) -> TxnHook:
        hooks = [*_listed(self._options[option]), adapted_transaction_hook(option, hook)]
        self._options = merged(self._options, {option: hooks})
        self.transaction_hooks = clean_transaction_hooks(self._options)
        return hook

    def __getattr__(self, name: str) -> Any:
        if name in TASK_METHODS:
            raise NoSuchMethod(_advice(f"the method {name} of tasks", TASK_METHODS[name]))
        raise AttributeError(f"a task has no attribute {name!r}")


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(**options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """`headway.flow` with Prefect's options. Raises NotInHeadway for one without equivalent, else as that."""
    chosen = merged(FLOW_DEFAULTS, _flow_options(options))
    return Flow(fn, chosen) if fn is not None else lambda function: Flow(function, chosen)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """`headway.task` with Prefect's options. Raises NotInHeadway for one without equivalent, else as that."""
    chosen = merged(TASK_DEFAULTS, _task_options(options))
    return Task(fn, chosen) if fn is not None else lambda function: Task(function, chosen)


# Inside a run


def get_run_logger(*_context: Any, **_extra: str) -> Any:
    """`headway.get_run_logger`."""
    return headway.get_run_logger()


def pause_flow_run(wait_for_input: Any = None, timeout: float | None = 3600) -> Any:
    """Keeps the process until somebody answers, at most `timeout` seconds; gives the answer.

    `wait_for_input`: the answer's type; None asks for a word to go on. Raises headway.WaitTimedOut.
    """
    if wait_for_input is None:
        return headway.pause(name="go on", timeout=timeout)
    return headway.pause(wait_for_input, timeout=timeout)


def suspend_flow_run(wait_for_input: Any = None, timeout: float | None = 3600) -> Any:
    """As `pause_flow_run`, and the run is suspended meanwhile: it holds no process and no slot."""
    if wait_for_input is None:
        return headway.suspend(timeout=timeout)
    return headway.wait_for_input(wait_for_input, timeout=timeout)


class _Facts:
    """Attributes that are looked up in the present run when they are asked for; None, and no tags, outside a run."""

    def __init__(self, **names: str) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            known = f"it has {', '.join(self._names)}; see headway.run_context"
            raise NoSuchMethod(f"runtime has no {name!r} in Headway: {known}")
        try:
            found = getattr(headway.run_context(), self._names[name])
        except headway.NotInRun:
            found = () if name == "tags" else None
        return list(found) if name == "tags" else found


class _Runtime(NamedTuple):
    flow_run: _Facts = _Facts(
        id="run",
        name="run_name",
        flow_name="flow",
        flow_version="flow_version",
        run_count="attempt",
        parameters="parameters",
        tags="tags",
        scheduled_start_time="scheduled_time",
        ui_url="run_url",
        parent_flow_run_id="parent_run",
    )
    task_run: _Facts = _Facts(
        id="call", name="call_name", task_name="call_name", run_count="try_number"
    )
    deployment: _Facts = _Facts(name="deployment", version="flow_version")


runtime: Final = _Runtime()
