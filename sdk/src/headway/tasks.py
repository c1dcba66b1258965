"""Tasks: functions whose calls are recorded, retried, and skipped by the next attempt once they have completed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from headway.caching import clean_cache
from headway.definitions import Definition, Kind
from headway.errors import InvalidOption
from headway.futures import Future, Futures, allow_failure, unmapped
from headway.options import (
    TASK_DEFAULTS,
    Retries,
    TaskOptions,
    choice,
    clean_expiry,
    clean_flag,
    merged,
)
from headway.transactions import clean_transaction_hooks

if TYPE_CHECKING:
    from typing import Unpack

    from headway.caching import CachePolicy
    from headway.completion import TargetOf

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Task(Definition, Generic[P, R_co]):
    """A function under `@task`. Called, it is the function; in a run, the call is recorded too."""

    kind: Kind = "task"
    fn: Callable[P, R_co]

    def __init__(self, fn: Callable[P, R_co], options: dict[str, Any]) -> None:
        self._adopt(fn, options, run_name="task_run_name")
        self.retries = Retries(
            options["retries"],
            options["retry_delay"],
            options["retry_jitter"],
            options["retry_on"],
        )
        self.key = options["key"]
        self.durable = choice("durable", options["durable"], ("group", "sync"))
        self.result = choice("result", options["result"], ("json", "pickle"))
        self.transaction_hooks = clean_transaction_hooks(options)
        self.refresh_cache = bool(clean_flag("refresh_cache", options["refresh_cache"]))
        self.cache_expires = clean_expiry(options["cache_expires"])
        self.cache = clean_cache(options["cache"], self.cache_expires, self.refresh_cache)
        if options["target"] is not None:
            self.makes = _clean_target(options["target"], self.cache)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls the function. In a run: skipped if an earlier attempt completed the equal call, retried as the options say."""
        value: R_co = self._call(args, kwargs)
        return value

    # Arguments are not typed by P below: each may be a future of its type, which no type can say.

    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait_for: Iterable[Any] = (),
        **kwargs: Any,
    ) -> Future[T]: ...
    @overload
    def submit(
        self: Task[..., T], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any
    ) -> Future[T]: ...
    def submit(self, *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any) -> Future[Any]:
        """Starts the call and returns its future at once.

        A sync task runs where the flow's `task_runner` says: in a thread by default. An async task called from async
        code runs on that code's loop, from sync code in a thread with a loop of its own. Futures among the arguments,
        alone or inside lists, tuples and dicts, are waited for there, and so are those in `wait_for`, whose values
        nobody needs. When one of them fails, the call is never executed and fails likewise; `allow_failure` around it
        lets it fail.
        """
        return self._submit(args, kwargs, tuple(wait_for))

    @overload
    def map(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait_for: Iterable[Any] = (),
        **kwargs: Any,
    ) -> Futures[T]: ...
    @overload
    def map(
        self: Task[..., T], *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any
    ) -> Futures[T]: ...
    def map(self, *args: Any, wait_for: Iterable[Any] = (), **kwargs: Any) -> Futures[Any]:
        """Submits one call for each position of the arguments, which are iterables of one length.

        Wrap in `unmapped` what every call shall get whole. A future of a list is waited for.
        Raises TypeError for an argument that is no iterable, ValueError for different lengths.
        """
        after = tuple(wait_for)
        rows = _spread(self.name, args, kwargs)
        return Futures(self._submit(*each, after) for each in rows)

    def with_options(self, **options: Unpack[TaskOptions]) -> Task[P, R_co]:
        """The same function under changed options; this task stays as it is. Raises as `task` does."""
        return Task(self.fn, merged(self._options, options))


def _clean_target(given: object, cache: CachePolicy | None) -> TargetOf | None:
    from headway.completion import clean_target  # noqa: PLC0415 - few tasks have one

    if cache is not None:
        raise InvalidOption(
            "a task has a cache or a target: both say when a call need not be executed, and could say different things"
        )
    return clean_target(given)


def _spread(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """One (args, kwargs) for each position of the iterables, made when it is its turn."""
    columns: dict[int | str, Any] = dict(enumerate(args))
    columns.update(kwargs)
    lists = {
        at: _column(name, at, value)
        for at, value in columns.items()
        if not isinstance(value, unmapped)
    }
    lengths = {len(column) for column in lists.values()}
    if len(lengths) != 1:
        told = ", ".join(f"{at!r}: {len(column)}" for at, column in lists.items())
        raise ValueError(
            f"{name}.map needs at least one iterable, and all of one length; it got {told or 'none'}"
        )
    shared = {at: value.value for at, value in columns.items() if at not in lists}

    def at_position(column: int | str, row: int) -> Any:
        return shared[column] if column in shared else lists[column][row]

    for row in range(lengths.pop()):
        yield (
            tuple(at_position(at, row) for at in range(len(args))),
            {at: at_position(at, row) for at in kwargs},
        )


def _column(name: str, at: int | str, value: Any) -> list[Any]:
    if isinstance(value, allow_failure):
        return [allow_failure(each) for each in _column(name, at, value.value)]
    given = value.result() if isinstance(value, Future) else value
    if isinstance(given, str | bytes | dict) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"{name}.map goes through its arguments; argument {at!r} is {type(given).__name__}: wrap it in unmapped(...)"
        )
    return list(given)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes a function a task; use it bare (`@task`) or with options (`@task(retries=3)`).

    Args:
        fn: The function, sync or async.
        **options: By name, all with a default:

            - `name`: Shown, and part of the journal key; the function's name by default.
            - `description`: Shown; the docstring by default.
            - `version`: Words of yours for the state of the code, in `Task.version`. No part of the journal key.
            - `tags`: Shown and searched by.
            - `task_run_name`: Names one call: a template over its arguments (`"load {table}"`), or a function of them
              (a mapping by name). One that fails is told in the log, and the call has the task's name.
            - `retries`: How many more times a failed call is tried.
            - `retry_delay`: Seconds or a timedelta before a retry; a list with one for each (the last one repeats); or
              a function of the failed try's number, from 1, such as `exponential(1, longest=60)`.
            - `retry_jitter`: Lengthens each delay at random by up to this fraction (0.2: up to a fifth).
            - `retry_on`: Which errors are worth a retry: an exception class, a tuple of them, or a function of the
              task and the error. All by default.
            - `timeout`: Seconds or a timedelta for each try, which then fails with `TimedOut`. Async code is cancelled,
              a process of `ProcessRunner` killed. Sync code in the flow's process gets an exception that
              `except Exception` does not catch, at its next step of Python: a call into C code ends first.
            - `log_prints`: What it prints is logged with the call, at INFO; as the flow has it by default.
            - `on_running`, `on_completion`, `on_failure`, `on_cancellation`: Functions, or lists of them, that take a
              `StateChange`: before each try, and when the call has ended for good. What they raise is logged and
              changes nothing. Not for skipped calls.
            - `key`: Gives the call's identity from its bound arguments (a mapping by name), in place of their digest.
              Needed where an argument has no stable digest (an object that is neither plain data nor of a registered
              codec); without it such a call is executed anew by each attempt. A future, and the unchanged result of a
              task with `result="pickle"`, stand by their call and need no key. Futures are waited for before it is asked.
            - `durable`: `sync` has the supervisor write the result to disk before anything after it, so that even a
              power cut does not repeat the call; `group` (the default) writes together what ends within milliseconds.
            - `cache`: What a result stands by beyond this run: `INPUTS`, `SOURCE`, `FLOW_PARAMETERS`, a function of the
              bound arguments that gives a string (or None: not this call), or several with `+`. A call that is equal
              by all of it is skipped, in any run on the agent's machine; of several at a time one is executed.
            - `cache_expires`: Seconds or a timedelta after which a cached result counts no more; never by default.
            - `refresh_cache`: Execute, and put the result in the place of the cached one.
            - `target`: What a call makes outside: a path as a template over the arguments (`"out/{day}.csv"`), anything
              with `exists()`, or a function of the bound arguments that gives one. A call whose target exists is
              skipped, in any run. Executed or skipped, the call's value is the target: return it, or nothing.
            - `on_commit`, `on_rollback`: Functions, or lists of them, that take a `TransactionStep`: when the
              `transaction()` that the task was called in is committed or rolled back.
            - `result`: `pickle` keeps results that plain data and registered codecs cannot express.

    A result that cannot be kept does not fail the call: the flow gets it, a warning tells what to do, and the next
    attempt executes the call again.

    Raises:
        InvalidOption: An option cannot work, or the function is a method or a generator.
        TypeError: There is no such option.
    """
    chosen = merged(TASK_DEFAULTS, options)
    if fn is not None:
        return Task(fn, chosen)
    return lambda function: Task(function, chosen)
