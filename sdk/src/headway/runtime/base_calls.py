"""What executing calls has in common, whether they are sync or async: what they stand on, time, verdicts, the cache."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal

from headway.completion import Exists, target_of
from headway.context import Call
from headway.definitions import Definition
from headway.digests import ROOT
from headway.errors import Cancelled, ResultTooLarge, Suspended
from headway.pool import Pool
from headway.runners import Handle, Session
from headway.runtime.asked_runs import AskedRuns
from headway.runtime.binding import bind
from headway.runtime.cache import Cache, Hit, Lookup
from headway.runtime.cache_scope import Whose
from headway.runtime.cancellation import Cancellation
from headway.runtime.changed_code import CodeChanges
from headway.runtime.child_results import ChildResult, nowhere
from headway.runtime.inbox import Inbox
from headway.runtime.interrupts import Interrupts
from headway.runtime.journal import Journal
from headway.runtime.limits import Limits, OutOfTime
from headway.runtime.loops import LoopThread
from headway.runtime.opaque import OpaqueResults
from headway.runtime.outputs import Outputs
from headway.runtime.pace import REAL, Pace
from headway.runtime.reporter import CallFailure, Reporter
from headway.runtime.told import name_call
from headway.runtime.transactions import Transactions
from headway.runtime.waiting import Answers, Waits

Args = tuple[Any, ...]
Kwargs = dict[str, Any]

_log = logging.getLogger("headway")


class BaseCalls:
    """State and decisions of an attempt's calls.

    `origin` stands for the flow in the keys of its calls. The agent gives a secret one a run, so that nobody can find a
    call's arguments by trying which give its key. `child_result` None: the agent passes on no wishes for runs. `inbox` None: it brings no answers to a process that waits.
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        reporter: Reporter,
        journal: Journal,
        cancellation: Cancellation,
        pool: Pool,
        random: Random,
        origin: str = ROOT,
        *,
        answers: Answers | None = None,
        child_result: ChildResult | None = None,
        asked_runs: AskedRuns | None = None,
        inbox: Inbox | None = None,
        on_code_change: str = "trust",
        cache: Cache | None = None,
        pace: Pace = REAL,
    ) -> None:
        self.facts = facts
        self._pace = pace
        self._report = reporter
        self._journal = journal
        self._cancellation = cancellation
        self._pool = pool
        self._random = random
        self._origin = origin
        self._session: Session | None = None
        self._handles: set[Handle] = set()
        self._loop: LoopThread | None = None
        self._gate: asyncio.Semaphore | None = None
        self._interrupts = Interrupts()
        self._opaque = OpaqueResults()
        self._hears_prints = False
        self.limits = Limits(pace)
        self._waits = Waits(
            str(facts["run"]),
            journal,
            answers,
            reporter,
            may_ask=child_result is not None,
            asked_runs=asked_runs,
            inbox=inbox,
        )
        self._child_result = child_result or nowhere
        self._on_code_change = on_code_change
        self._code_changes = CodeChanges()
        self._transactions = Transactions(journal, reporter, cancellation)
        self.outputs = Outputs(journal, reporter, origin, pace)
        self.cache = cache or Cache("", Path(), Whose(), "", reporter.clock)

    def _give_up(self, call: Call, error: BaseException) -> None:
        """What has not begun never will; what runs is stopped only by a cancel. What a suspended flow has submitted ends
        first: it would have gone on during the wait.
        """
        if isinstance(error, Suspended) and not self._cancellation.requested:
            return
        children = list(call.children or ())
        for child in children:  # before others make room for them by ending
            child.forgo()
        for child in children:
            child.discard()
        if self._cancellation.requested:
            self._interrupts.strike()
            for handle in list(self._handles):
                handle.cancel(force=False)

    # Time

    def _left(self, deadline: float) -> float:
        return deadline - self._pace.monotonic()

    def _until(self, deadline: float | None, delay_us: int) -> float:
        """Seconds to wait: no longer than there is time."""
        delay = delay_us / 1e6
        return delay if deadline is None else max(0.0, min(delay, self._left(deadline)))

    def _check_time(self, call: Call) -> None:
        if call.deadline is not None and self._left(call.deadline) <= 0:
            raise OutOfTime

    def _is_others(self, own: float, around: float | None) -> bool:
        """Whether it is not this limit that is up, or not this alone: then the wider one's call is what took too long."""
        now = self._pace.monotonic()
        return now < own or (around is not None and now >= around)

    # Outcomes

    def _begin(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> int:
        """When it began, in microseconds; and its name is made, now that its arguments are there."""
        if definition.run_name is not None:
            call.run_name = name_call(call, definition, bind(definition, args, kwargs))
        return self._report.clock()

    def _made(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs
    ) -> Exists | None:
        """What the call makes, if it says so; the call is marked where that is there already."""
        if definition.makes is None:
            return None
        made = target_of(definition.name, definition.makes, bind(definition, args, kwargs))
        call.is_found = made.exists()
        return made

    def _began(self, call: Call, started_us: int) -> None:
        """Inside the try, so that a cancel that comes while it is sent still gives the call an end."""
        if call.try_number == 1:
            self._report.started(call, started_us)

    def _judge(
        self, call: Call, definition: Definition, started_us: int, error: BaseException
    ) -> int | CallFailure | Literal["suspended"]:
        """Reports a failed try. Microseconds until the next one, or that it was the last, and what the call is then."""
        if isinstance(error, Suspended):
            return "suspended"
        self.outputs.settle(call)
        delay_us = self._retry_delay(call, definition, error)
        if delay_us is not None:
            self._report.retrying(call, error, delay_us)
            return delay_us
        cancelled = isinstance(error, Cancelled | asyncio.CancelledError | KeyboardInterrupt)
        outcome: CallFailure = "cancelled" if cancelled else "failed"
        self._report.failed(call, outcome, started_us, error, call.try_number)
        return outcome

    def _retry_delay(self, call: Call, definition: Definition, error: BaseException) -> int | None:
        """None: no more tries."""
        if (
            call.try_number > definition.retries.limit
            or not isinstance(error, Exception)
            or self._cancellation.requested
        ):
            return None
        try:
            if definition.retries.wants(definition, error):
                return definition.retries.delay_us(call.try_number, self._random.random)
        except Exception:  # noqa: BLE001 - a condition or delay function of the user's; it is logged
            _log.exception("%s is not tried again: its retry option failed", call.name)
        return None

    def _completed(
        self, call: Call, definition: Definition, started_us: int, value: Any, lookup: Lookup | None
    ) -> None:
        if call.is_found:
            self._report.found(call, value)
            return
        told = None if lookup is None else lookup.told()
        self.outputs.settle(call)
        if call.step is None:
            result = self._report_completed(call, definition, started_us, value, told)
            if lookup is not None:
                lookup.keep(result)
            return
        # Told and remembered in one: a cancel between the two would leave a step that is not undone.
        with self._cancellation.held:
            result = self._report_completed(call, definition, started_us, value, told)
            call.step.complete(value, lookup, result)

    def _report_completed(
        self,
        call: Call,
        definition: Definition,
        started_us: int,
        value: Any,
        told: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        try:
            result = self._report.completed(call, definition, started_us, value, told)
        except ResultTooLarge as error:
            self._report.failed(call, "failed", started_us, error, call.try_number)
            raise
        if result["codec"] == "pickle":
            self._opaque.remember(value, call.ref)
        return result

    # The cache

    def _lookup(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Lookup:
        arguments = bind(definition, args, kwargs)
        return self.cache.lookup(call, definition, arguments, anew=self._journal.had(call.key))

    def _from_cache(self, call: Call, lookup: Lookup, hit: Hit) -> Any:
        result = self._report.cached(call, hit, lookup.told())
        if result["codec"] == "pickle":
            self._opaque.remember(hit.value, call.ref)
        return hit.value

    def _never_began(self, call: Call, error: BaseException) -> None:
        """A call that one of its arguments fails: tried no times."""
        if isinstance(error, Suspended):
            return  # nor is it now: the next attempt calls it
        outcome: CallFailure = "failed" if isinstance(error, Exception) else "cancelled"
        self._report.failed(call, outcome, self._report.clock(), error, tries=0)


def raise_unseen(call: Call) -> None:
    """Fails the call for a failed child that nobody has looked at; of several, for any one."""
    if not call.children:
        return
    # A copy in one step: a child that has ended may be about to leave the set, in its own thread.
    children = list(call.children)
    errors = [error for child in children if (error := child.unseen_error()) is not None]
    call.children.clear()
    if errors:
        # A failure ends the flow, and that is the end of its waits too.
        raise next((error for error in errors if not isinstance(error, Suspended)), errors[0])
