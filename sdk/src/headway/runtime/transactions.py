"""How an attempt carries out transactions, and what of them later attempts find in the journal.

A transaction is a node of the call tree, and its tasks are the calls below it. Its key holds a generation: the number of
times that earlier attempts rolled it back. So the results of a transaction that was rolled back are in nobody's way: the
tasks of the next generation are other calls. Three kinds of records make this safe against a death at any place:

- each hook that ran is a completed call below the node;
- `rolling back` is durable before the first `on_rollback` runs. An attempt that finds it alone goes through the block
  again until it comes to a call that was never completed, finishes the rollback and fails;
- `rolled back` is durable after the last one. With it, the next attempt begins the next generation.

The node's own completed end says that all of it was committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from headway.context import Call, enter, leave
from headway.definitions import Definition
from headway.digests import call_key, explicit_digest
from headway.errors import RolledBack
from headway.runtime.cache import Lookup
from headway.runtime.cancellation import Cancellation
from headway.runtime.journal import Journal
from headway.runtime.reporter import Reporter
from headway.transactions import Transaction, TransactionHook, TransactionStep

_log = logging.getLogger("headway")


class Step:
    """A task called in a transaction. It counts once it has completed."""

    def __init__(self, call: Call, definition: Definition, transaction: Transaction) -> None:
        self.call = call
        self.definition = definition
        self.transaction = transaction
        """That it was called in, which may be inside the one that it is committed with."""
        self.completed = False
        self.value: Any = None
        self._keep: Callable[[], None] | None = None

    def complete(
        self, value: Any, lookup: Lookup | None = None, result: Mapping[str, Any] | None = None
    ) -> None:
        """`lookup`: where the result goes once the transaction is committed."""
        self.value = value
        self.completed = True
        if lookup is not None and result is not None:
            self._keep = lambda: lookup.keep(result)

    def keep(self) -> None:
        """The result may be shared with other runs now."""
        if self._keep is not None:
            self._keep()


class Scope:
    """An open transaction of this attempt."""

    def __init__(
        self, transaction: Transaction, call: Call, above: Scope | None, since_us: int
    ) -> None:
        self.transaction = transaction
        self.call = call
        self.above = above
        """The one that this one commits with."""
        self.since_us = since_us
        self.steps: list[Step] = []
        self.committed = False
        """By an earlier attempt."""
        self.unfinished = ""
        """Why an earlier attempt had begun to roll it, or one around it, back, and did not come to the end."""
        self.finishes = False
        """It is this one that is to be rolled back."""
        self.token: Any = None

    def add(self, call: Call, definition: Definition) -> None:
        """In the order in which tasks are called."""
        if definition.transaction_hooks or definition.cache is not None:
            call.step = Step(call, definition, self.transaction)
            self.steps.append(call.step)

    def check(self) -> None:
        """Before a call that no earlier attempt completed. Raises RolledBack where there is nothing left but to undo."""
        if self.unfinished:
            raise RolledBack(self.unfinished)


class Transactions:
    """The transactions of one attempt."""

    def __init__(self, journal: Journal, report: Reporter, cancellation: Cancellation) -> None:
        self._journal = journal
        self._report = report
        self._cancellation = cancellation

    def open(self, parent: Call, transaction: Transaction, above_key: str) -> Scope:
        name = f"transaction {transaction.name}"
        ordinal = parent.next_ordinal(name, "")
        generation = 0
        while True:
            key = call_key(above_key, name, str(generation), ordinal)
            begun = self._journal.find(_record(key, "rolling back"))
            if begun is None or self._journal.find(_record(key, "rolled back")) is None:
                break
            generation += 1
        call = Call(
            parent.engine, key, parent.key, "transaction", transaction.name, on_loop=parent.on_loop
        )
        call.deadline, call.log_prints, call.held = parent.deadline, parent.log_prints, parent.held
        call.may_wait = parent.may_wait
        scope = Scope(transaction, call, parent.scope, self._report.clock())
        scope.committed = self._journal.find(key) is not None
        scope.finishes = begun is not None
        if begun is not None:
            scope.unfinished = str(begun.value)
        elif parent.scope is not None:
            scope.unfinished = parent.scope.unfinished
        call.scope = scope
        self._report.started(call, scope.since_us)
        scope.token = enter(call)
        return scope

    def settle(self, scope: Scope, error: BaseException | None) -> None:
        """Commits, rolls back, or hands over to the transaction around. Raises what keeps it from being committed."""
        with self._cancellation.held:
            if error is None and scope.finishes:
                error = RolledBack(scope.unfinished)
                self._roll_back(scope, error)
                raise error
            if error is not None:
                self._roll_back(scope, error)
                return
            if scope.above is not None:
                scope.above.steps.extend(scope.steps)
            else:
                self._commit(scope)
            self._report.recorded(scope.call, scope.since_us, {"steps": len(scope.steps)})

    def _commit(self, scope: Scope) -> None:
        try:
            for step in scope.steps:
                self._run_hooks(scope, step, "on_commit", None)
        except BaseException as error:
            self._roll_back(scope, error)
            raise
        for step in scope.steps:
            step.keep()

    def _roll_back(self, scope: Scope, error: BaseException) -> None:
        if scope.committed:
            self._report.failed(scope.call, "failed", scope.since_us, error, 1)
            return
        why = f"{type(error).__qualname__}: {error}"
        self._tell(scope, "rolling back", why)
        for step in reversed(scope.steps):
            try:
                self._run_hooks(scope, step, "on_rollback", error)
            except Exception:  # noqa: BLE001 - code of the user's; the others' effects are to be undone all the same
                _log.exception("%s could not be undone", step.call.name)
        self._tell(scope, "rolled back", why)
        self._report.failed(scope.call, "failed", scope.since_us, error, 1)

    def _tell(self, scope: Scope, what: str, why: str) -> None:
        key = _record(scope.call.key, what)
        if self._journal.find(key) is None:
            call = Call(scope.call.engine, key, scope.call.key, "transaction", what, on_loop=False)
            self._report.recorded(call, self._report.clock(), why)

    def _run_hooks(
        self, scope: Scope, step: Step, option: str, error: BaseException | None
    ) -> None:
        if not step.completed:
            return
        hooks = step.definition.transaction_hooks.get(option, ())
        ordered = hooks if option == "on_commit" else reversed(hooks)
        told = TransactionStep(
            step.transaction, step.definition.name, step.call.key, step.value, error
        )
        for hook in ordered:
            name = f"{option} {step.definition.name}"
            made_of = explicit_digest(f"{step.call.ref} {getattr(hook, '__qualname__', '')}")
            ordinal = scope.call.next_ordinal(name, made_of)
            key = call_key(scope.call.key, name, made_of, ordinal)
            if self._journal.find(key) is None:
                self._run_hook(
                    Call(scope.call.engine, key, scope.call.key, "task", name, on_loop=False),
                    hook,
                    told,
                )

    def _run_hook(self, call: Call, hook: TransactionHook, told: TransactionStep) -> None:
        since_us = self._report.clock()
        self._report.started(call, since_us)
        token = enter(call)
        try:
            hook(told)
        except BaseException as error:
            self._report.failed(call, "failed", since_us, error, 1)
            raise
        finally:
            leave(token)
        self._report.recorded(call, since_us, None)


def _record(key: str, what: str) -> str:
    return call_key(key, what, "", 0)
