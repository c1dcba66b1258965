"""What flows and tasks have in common: a function, its name, and the ways to call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from headway import pool
from headway.caching import CachePolicy
from headway.context import current_call
from headway.errors import InvalidOption
from headway.futures import Future
from headway.hooks import Hooks, clean_hooks
from headway.options import (
    JournalKey,
    Retries,
    RunName,
    clean_description,
    clean_flag,
    clean_name,
    clean_run_name,
    clean_tags,
    clean_timeout,
    clean_version,
)

if TYPE_CHECKING:
    from headway.completion import TargetOf
    from headway.transactions import TransactionHooks

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect costs 9 ms
_CO_GENERATORS = 0x20 | 0x200  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR

Kind = Literal["task", "flow"]


class Definition:
    """A callable that the engine can execute as a call."""

    kind: Kind
    fn: Callable[..., Any]
    name: str
    description: str
    version: str
    tags: tuple[str, ...]
    is_async: bool
    run_name: RunName | None
    timeout: float | None
    """Seconds."""
    log_prints: bool | None
    """None: as the call around it."""
    hooks: Hooks
    retries: Retries
    key: JournalKey | None = None
    durable: str = "group"
    result: str = "json"
    cache: CachePolicy | None = None
    cache_expires: float | None = None
    """Seconds."""
    refresh_cache: bool = False
    makes: TargetOf | None = None
    """What a call of it makes; where that is there already, the call is skipped."""
    transaction_hooks: TransactionHooks = MappingProxyType({})
    # Filled by the engine on the first call in a run.
    binding: Any = None
    code: str = ""

    def _adopt(self, fn: Callable[..., Any], options: dict[str, Any], *, run_name: str) -> None:
        """Takes the function and what options flows and tasks share. Raises InvalidOption."""
        check_function(fn)
        self.fn = fn
        self._options = options
        self.is_async = is_async(fn)
        self.name = clean_name(options["name"], fn)
        self.description = clean_description(options["description"], fn)
        self.version = clean_version(options["version"])
        self.tags = clean_tags(options["tags"])
        self.run_name = clean_run_name(run_name, options[run_name])
        self.timeout = clean_timeout(options["timeout"])
        self.log_prints = clean_flag("log_prints", options["log_prints"])
        self.hooks = clean_hooks(options, is_async=self.is_async)
        adopt_identity(self, fn)

    def __reduce__(self) -> str:
        """Pickled by name, as functions are: so other processes (multiprocessing, Dask) can be handed tasks to call."""
        return str(getattr(self, "__qualname__", self.name))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = current_call()
        if call is None:
            return self.fn(*args, **kwargs)
        return call.engine.call(call, self, args, kwargs)

    def _submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], after: Sequence[Any] = ()
    ) -> Future[Any]:
        call = current_call()
        if call is None:
            return pool.submit_plain(self.fn, args, kwargs, after, is_async=self.is_async)
        return call.engine.submit(call, self, args, kwargs, after)


def check_function(fn: Callable[..., Any]) -> None:
    """Refuses at the decorator what would go wrong, or silently do something else, at the call."""
    name = getattr(fn, "__qualname__", "")
    if not name:
        raise InvalidOption(
            f"a {type(fn).__name__} cannot be decorated, for it has no name: wrap it in a function (def)"
        )
    code = getattr(fn, "__code__", None)
    if code is None:
        return
    if code.co_flags & _CO_GENERATORS:
        raise InvalidOption(
            f"{name} is a generator: its body would run after its call has ended. Return a list instead of yielding"
        )
    in_class = "." in name and not name.rpartition(".")[0].endswith("<locals>")
    is_bound = hasattr(fn, "__self__")
    if in_class and not is_bound and code.co_varnames[:1] == ("self",):
        raise InvalidOption(
            f"{name} is a method: decorate a function that takes what it needs as arguments, and call it from the method"
        )


def is_async(fn: Callable[..., Any]) -> bool:
    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)


def adopt_identity(definition: Definition, fn: Callable[..., Any]) -> None:
    """Lets help(), documentation tools and type inspection see the function behind the decorator."""
    definition.__doc__ = fn.__doc__
    definition.__module__ = fn.__module__
    for name in ("__name__", "__qualname__", "__wrapped__"):
        setattr(definition, name, fn if name == "__wrapped__" else getattr(fn, name))
