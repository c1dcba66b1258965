"""Transactions: tasks whose effects are made final together, or undone together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from headway.context import current_call
from headway.errors import ForgottenAwait, InvalidOption
from headway.futures import running_loop

if TYPE_CHECKING:
    from headway.runtime.transactions import Scope

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE


class TransactionStep(NamedTuple):
    """What `on_commit` and `on_rollback` are told: a task that completed in the transaction."""

    transaction: Transaction
    name: str
    """The task's name."""
    call: str
    """Journal key of its call: the same in a later attempt."""
    value: Any
    """What it returned, perhaps in an earlier attempt."""
    error: BaseException | None = None
    """Why the transaction is rolled back."""


TransactionHook = Callable[[TransactionStep], object]
TransactionHooks = Mapping[str, tuple[TransactionHook, ...]]


class Transaction:
    """One `with transaction()`. Carries values for the hooks of its tasks."""

    def __init__(self, name: str = "transaction") -> None:
        given: object = name
        if not isinstance(given, str) or not name.strip() or not name.isprintable():
            raise InvalidOption(f"a transaction's name must be printable text, not {name!r}")
        self.name = name
        self._values: dict[str, Any] = {}
        self._above: Transaction | None = None
        self._scope: Scope | None = None

    def set(self, name: str, value: Any) -> None:
        """Keeps a value for hooks and for transactions inside this one, for as long as this attempt lasts."""
        self._values[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """The value set here, else in a transaction around this one, else `default`."""
        if name in self._values:
            return self._values[name]
        return default if self._above is None else self._above.get(name, default)

    def __enter__(self) -> Transaction:
        if running_loop() is not None:
            raise ForgottenAwait("in async code, write `async with transaction()`")
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.call.engine.close_transaction(scope, error)

    async def __aenter__(self) -> Transaction:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            await scope.call.engine.close_transaction_async(scope, error)

    def _open(self) -> None:
        if self._scope is not None:
            raise RuntimeError("this transaction is open already: each `with` needs its own")
        call = current_call()
        if call is not None:
            self._scope = call.engine.open_transaction(call, self)
            above = self._scope.above
            self._above = None if above is None else above.transaction


def transaction(name: str = "transaction") -> Transaction:
    """Lets the tasks called in the block of a `with` belong together; in async code, of an `async with`.

    When the block ends, and all that was submitted in it has ended, the `on_commit` hooks of its completed tasks run, in
    the order of the calls. When it raises, or a hook of these does, their `on_rollback` hooks run in reverse order, the
    error goes on, and what its tasks returned counts no more: the next attempt executes them again. A transaction
    directly inside another commits with that one.

    Hooks take a `TransactionStep`. Each is a call in the journal: one that has ended is not run again by a later
    attempt, one that was interrupted is. A process that dies in the block runs no hooks; the next attempt skips what has
    completed and goes on. One that dies while it rolls back: the next attempt finishes that, and fails with `RolledBack`.

    Outside a run nothing is committed or undone, for there no task is recorded.

    Args:
        name: Shown; tells apart transactions beside each other, which are told apart by their order otherwise.

    Raises:
        InvalidOption: The name is no printable text.
    """
    return Transaction(name)


def clean_transaction_hooks(options: Mapping[str, Any]) -> TransactionHooks:
    """Hooks by option, for those that there are. Raises InvalidOption."""
    found: dict[str, tuple[TransactionHook, ...]] = {}
    for option in ("on_commit", "on_rollback"):
        given = options[option]
        hooks = tuple(given) if isinstance(given, list | tuple) else (given,)
        for hook in hooks:
            code = getattr(hook, "__code__", None)
            if not callable(hook) or (code is not None and code.co_flags & _CO_COROUTINE):
                raise InvalidOption(
                    f"{option} must be a plain function that takes a headway.TransactionStep, or a list of them, not {hook!r}"
                )
        if hooks:
            found[option] = hooks
    return found
