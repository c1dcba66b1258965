"""Transactions under Prefect's names: what they have in common with ours; the rest raises `NotInHeadway`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from headway.compat.errors import NoSuchOption, NotInHeadway
from headway.definitions import is_async
from headway.transactions import Transaction as OurTransaction
from headway.transactions import TransactionHook, TransactionStep

_NOTHING: Final = object()
_ADVICE: Final = {
    "key": "give the tasks in it a `cache_policy`, or let the journal skip what this run has done",
    "store": "results stay on the agent's machine",
    "commit_mode": "a transaction commits at the end of its block, and one inside another with that",
    "isolation_level": "of equal calls with a cache policy one is executed at a time",
    "overwrite": "`refresh_cache` of the tasks in it",
    "write_on_commit": "results go into the cache when the transaction is committed",
}


class Transaction(OurTransaction):
    """A `headway.Transaction` whose `get` raises ValueError for a value that nobody has set."""

    step: TransactionStep | None = None
    """In a hook: the task that it is for, with its `value`; Prefect has no such thing."""

    def get(self, name: str, default: Any = _NOTHING) -> Any:
        """The value set here or in a transaction around this one. Raises ValueError where there is none and no default."""
        found = super().get(name, default)
        if found is _NOTHING:
            raise ValueError(f"nobody has set {name!r} in this transaction")
        return found


def transaction(**options: Any) -> Transaction:
    """`headway.transaction`; in async code, `async with` it. Raises NotInHeadway for all options but `logger`."""
    for name, value in options.items():
        if name not in _ADVICE and name != "logger":
            raise NoSuchOption(f"transaction() has no option {name!r}")
        # What each of them stands for when it is left out is what happens here.
        is_default = value is None or (name, value) in (
            ("overwrite", False), ("write_on_commit", True),
        )  # fmt: skip
        if name in _ADVICE and not is_default:
            raise NoSuchOption(f"{name} of transaction() is not in Headway: {_ADVICE[name]}")
    return Transaction()


def adapted_transaction_hook(option: str, hook: Callable[[Transaction], Any]) -> TransactionHook:
    """Prefect's hooks take the transaction of their task. Raises NotInHeadway for an async one."""
    if is_async(hook):
        raise NotInHeadway(f"{option} takes plain functions in Headway, not async ones: {hook!r}")

    @wraps(hook)
    def adapted(step: TransactionStep) -> object:
        return hook(_OfStep(step))

    return adapted


class _OfStep(Transaction):
    """What a hook is given: its own values, and those of the transaction that its task was called in."""

    def __init__(self, step: TransactionStep) -> None:
        super().__init__(step.name)
        self.step = step
        self._above = step.transaction
