"""Tasks: functions whose calls are recorded, retried, and skipped by the next attempt once they have completed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from headway.futures import Future, unmapped
from headway.options import UNSET, Retries, choice, clean_description, clean_name, clean_tags
from headway.targets import JournalKey, Kind, Target, adopt_identity, check_function, is_async

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Durable = Literal["group", "sync"]
ResultCodec = Literal["json", "pickle"]


class Task(Target, Generic[P, R]):
    """A function under `@task`. Called, it is the function; in a run, the call is recorded too."""

    kind: Kind = "task"

    def __init__(self, fn: Callable[P, R], options: dict[str, Any]) -> None:
        check_function(fn)
        self.fn: Callable[P, R] = fn
        self._options = options
        self.is_async = is_async(fn)
        self.name = clean_name(options["name"], fn)
        self.description = clean_description(options["description"], fn)
        self.tags = clean_tags(options["tags"])
        self.retries = Retries(
            options["retries"],
            options["retry_delay"],
            options["retry_backoff"],
            options["retry_jitter"],
        )
        self.key: JournalKey | None = options["key"]
        self.durable = choice("durable", options["durable"], ("group", "sync"))
        self.result = choice("result", options["result"], ("json", "pickle"))
        self.binding = None
        adopt_identity(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function. In a run: skipped if an earlier attempt completed the equal call, retried as the options say."""
        value: R = self._call(args, kwargs)
        return value

    # Arguments are not typed by P below: each may be a future of its type, which no type can say.

    @overload
    def submit(self: Task[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> Future[T]: ...
    @overload
    def submit(self: Task[..., T], *args: Any, **kwargs: Any) -> Future[T]: ...
    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Starts the call and returns its future at once.

        A sync task runs in a thread of the run's pool. An async task called from async code runs on that code's loop,
        from sync code in a thread with a loop of its own. Futures among the arguments are waited for there.
        """
        return self._submit(args, kwargs)

    @overload
    def map(
        self: Task[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> list[Future[T]]: ...
    @overload
    def map(self: Task[..., T], *args: Any, **kwargs: Any) -> list[Future[T]]: ...
    def map(self, *args: Any, **kwargs: Any) -> list[Future[Any]]:
        """Submits one call for each position of the arguments, which are iterables of one length.

        Wrap in `unmapped` what every call shall get whole. A future of a list is waited for.
        Raises TypeError for an argument that is no iterable, ValueError for different lengths.
        """
        return [self._submit(*each) for each in _spread(self.name, args, kwargs)]

    def with_options(
        self,
        *,
        name: str = UNSET,
        description: str = UNSET,
        tags: Iterable[str] = UNSET,
        retries: int = UNSET,
        retry_delay: float | Sequence[float] = UNSET,
        retry_backoff: float = UNSET,
        retry_jitter: float = UNSET,
        key: JournalKey | None = UNSET,
        durable: Durable = UNSET,
        result: ResultCodec = UNSET,
    ) -> Task[P, R]:
        """The same function under changed options; this task stays as it is."""
        given = {
            name: value for name, value in locals().items() if value is not UNSET and name != "self"
        }
        return Task(self.fn, {**self._options, **given})


def _spread(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """One (args, kwargs) for each position of the iterables."""
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

    return [
        (
            tuple(at_position(at, row) for at in range(len(args))),
            {at: at_position(at, row) for at in kwargs},
        )
        for row in range(lengths.pop())
    ]


def _column(name: str, at: int | str, value: Any) -> list[Any]:
    given = value.result() if isinstance(value, Future) else value
    if isinstance(given, str | bytes | dict) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"{name}.map goes through its arguments; argument {at!r} is {type(given).__name__}: wrap it in unmapped(...)"
        )
    return list(given)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    retries: int = 0,
    retry_delay: float | Sequence[float] = 0.0,
    retry_backoff: float = 1.0,
    retry_jitter: float = 0.0,
    key: JournalKey | None = None,
    durable: Durable = "group",
    result: ResultCodec = "json",
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    retries: int = 0,
    retry_delay: float | Sequence[float] = 0.0,
    retry_backoff: float = 1.0,
    retry_jitter: float = 0.0,
    key: JournalKey | None = None,
    durable: Durable = "group",
    result: ResultCodec = "json",
) -> Any:
    """Makes a function a task; use it bare (`@task`) or with options (`@task(retries=3)`).

    Args:
        fn: The function, sync or async.
        name: Shown, and part of the journal key; the function's name by default.
        description: Shown; the docstring by default.
        tags: Shown and searched by.
        retries: How many more times a failed call is tried.
        retry_delay: Seconds before a retry, or a list with one number for each (the last one repeats).
        retry_backoff: Multiplies the delay with each further retry (2.0 doubles it).
        retry_jitter: Lengthens each delay at random by up to this fraction (0.2: up to a fifth).
        key: Gives the call's identity from its bound arguments (a mapping by name), in place of their digest. Needed
            where an argument has no stable digest (an object that is neither plain data nor of a registered codec);
            without it such a call is executed anew by each attempt. A future, and the unchanged result of a task with
            `result="pickle"`, stand by their call and need no key. Futures are waited for before it is asked.
        durable: `sync` has the supervisor write the result to disk before anything after it, so that even a power
            cut does not repeat the call; `group` (the default) writes together what ends within milliseconds.
        result: `pickle` keeps results that plain data and registered codecs cannot express.

    A result that cannot be kept does not fail the call: the flow gets it, a warning tells what to do, and the next
    attempt executes the call again.

    Raises:
        InvalidOption: An option cannot work, or the function is a method or a generator.
    """
    options = {name: value for name, value in locals().items() if name != "fn"}
    if fn is not None:
        return Task(fn, options)
    return lambda function: Task(function, options)
