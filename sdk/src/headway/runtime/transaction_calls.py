"""The node of a `with transaction()`: it opens, waits for its calls at its end, and is settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headway.context import Call, leave
from headway.digests import ROOT
from headway.errors import Suspended
from headway.runtime.async_calls import AsyncCalls, settle
from headway.runtime.base_calls import raise_unseen
from headway.runtime.sync_calls import SyncCalls, wait_for
from headway.runtime.transactions import Scope
from headway.transactions import Transaction

T = TypeVar("T")


class TransactionCalls(SyncCalls, AsyncCalls):
    """Transactions of an attempt."""

    def open_transaction(self, parent: Call, transaction: Transaction) -> Scope:
        self._cancellation.check()
        above = self._origin if parent.key == ROOT else parent.key
        return self._in_engine(parent, lambda: self._transactions.open(parent, transaction, above))

    def close_transaction(self, scope: Scope, error: BaseException | None) -> None:
        self._in_engine(scope.call, lambda: self._close_transaction(scope, error))

    def _close_transaction(self, scope: Scope, error: BaseException | None) -> None:
        late: BaseException | None = None
        try:
            if error is not None:
                self._give_up(scope.call, error)
            wait_for(scope.call)
            if error is None:
                raise_unseen(scope.call)
        except BaseException as raised:  # noqa: BLE001 - it is raised again below
            late = raised
        self._settle_transaction(scope, error, late)

    async def close_transaction_async(self, scope: Scope, error: BaseException | None) -> None:
        late: BaseException | None = None
        try:
            if error is not None:
                self._give_up(scope.call, error)
            await settle(scope.call)
            if error is None:
                raise_unseen(scope.call)
        except BaseException as raised:  # noqa: BLE001 - it is raised again below
            late = raised
        self._settle_transaction(scope, error, late)

    def _settle_transaction(
        self, scope: Scope, error: BaseException | None, late: BaseException | None
    ) -> None:
        leave(scope.token)
        final = error or late
        # A suspended flow comes back to this block, and then it will be seen.
        if not isinstance(final, Suspended) or self._cancellation.requested:
            self._transactions.settle(scope, final)
        if late is not None:
            raise late

    def _in_engine(self, call: Call, step: Callable[[], T]) -> T:
        return step() if call.deadline is None else self._shielded(call.deadline, step)

    def _shielded(self, deadline: float, step: Callable[[], T]) -> T:
        """A step of the engine for user code that has a deadline: no strike falls into it, but may into user code below."""
        zone = self.limits.zone()
        if zone is None:  # on an event loop, which keeps the caller's time in its own way
            return self.limits.run(deadline, step)
        with zone.engine():
            return step()
