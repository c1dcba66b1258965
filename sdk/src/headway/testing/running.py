"""The harness: runs a flow attempt after attempt, as agents and the control plane would."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from threading import Lock
from typing import Any, Generic, TypeVar, cast, overload
from uuid import UUID

from headway.context import current_call
from headway.flows import Flow
from headway.futures import running_loop
from headway.parameters.plain import NotPlain, plain
from headway.testing.children import ended_child
from headway.testing.memory import CrashAfter, Plan, Told, execute
from headway.testing.outputs import Outputs
from headway.testing.records import AttemptRecord, CallRecord, HarnessError, LogLine
from headway.testing.time import Clock

T = TypeVar("T")
_START = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_ATTEMPTS = 1000
_one_at_a_time = Lock()


class Run(Outputs, Generic[T]):
    """A run of a flow: what has become of it so far, and ways to go on."""

    def __init__(
        self, harness: Harness, flow: Flow[..., Any], number: int, parameters: dict[str, Any]
    ) -> None:
        self.flow = flow
        self.attempts: list[AttemptRecord] = []
        """All attempts, oldest first."""
        self._harness = harness
        self._id = str(UUID(int=number))
        self._parameters = parameters
        self._facts: list[bytes] = []
        self._answers: list[dict[str, Any]] = []
        self._child_results: dict[str, Any] = {}
        self._last: Told | None = None

    # What it is now

    @property
    def state(self) -> str:
        """Of the last attempt: `completed`, `failed`, `cancelled`, `suspended`, `crashed`; `refused`: its parameters
        were wrong.
        """
        return self.attempts[-1].state

    @property
    def error(self) -> BaseException | None:
        """What ended the last attempt; None unless it failed, was cancelled or refused."""
        return self._last.error if self._last else None

    def result(self) -> T:
        """What the flow returned. Raises what it raised; HarnessError when it is suspended or crashed."""
        if self.error is not None:
            raise self.error
        if self._last is None or self.state != "completed":
            raise HarnessError(f"there is no result: {self!r}. {self._advice()}")
        return cast("T", self._last.value)

    @property
    def waits(self) -> list[dict[str, Any]]:
        """What it is suspended for: `kind`, `name`, `since_us`, `until_us` (if it ends by itself), `request`."""
        return self.attempts[-1].waits

    # What happened

    @property
    def calls(self) -> list[CallRecord]:
        """The calls of the last attempt, in the order in which they began. Those it skipped are among them."""
        return self.attempts[-1].calls

    def call(self, name: str, at: int | None = None) -> CallRecord:
        """The call of that name in the last attempt; of several the one at that position (0 is the first).

        HarnessError when there is none, or there are several and `at` is not said.
        """
        return self.attempts[-1].call(name, at)

    def executions(self, name: str) -> int:
        """How many tries of calls of that name began, in all attempts. Skipped calls have none."""
        return sum(call.tries for one in self.attempts for call in one.calls if call.name == name)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The facts of all attempts, in order, as an agent gets them; without the lines of the log."""
        return [event for attempt in self.attempts for event in attempt.events]

    @property
    def logs(self) -> list[LogLine]:
        """The lines of all attempts, in order."""
        return [line for attempt in self.attempts for line in attempt.logs]

    @property
    def facts(self) -> int:
        """How many facts the last attempt told before its end: the places where it could have crashed."""
        return sum(event["type"] != "attempt.ended" for event in self.attempts[-1].events)

    # How to go on

    def again(
        self, *, crash_after: CrashAfter = None, answers: Mapping[str, Any] | None = None
    ) -> Run[T]:
        """One more attempt, with all that earlier ones have in the journal; then as `Harness.run`. Gives this run."""
        self._harness.go_on(self, crash_after, answers or {})
        return self

    def answer(self, name: str, value: Any = None, *, crash_after: CrashAfter = None) -> Run[T]:
        """Answers the wait of that name and goes on. `value` is JSON, as a person's form would send it, or a Python value.

        Of a run of a deployment, `value` is what its flow returns; an exception fails it.

        HarnessError when the run does not wait for that.
        """
        if name not in [wait["name"] for wait in self._open_waits()]:
            names = ", ".join(repr(wait["name"]) for wait in self._open_waits()) or "nothing"
            raise HarnessError(f"the run does not wait for {name!r}; it waits for: {names}")
        return self.again(crash_after=crash_after, answers={name: value})

    def expire(self, name: str) -> Run[T]:
        """Lets the time pass until nobody can answer the wait of that name any more, and goes on.

        HarnessError when the run does not wait for that, or without end.
        """
        for wait in self._open_waits():
            if wait["name"] == name and "until_us" in wait:
                self._harness.clock.advance(self._harness.seconds_until(wait["until_us"]))
                return self.again()
        raise HarnessError(f"no wait {name!r} that ends by itself: {self._open_waits()}")

    def _open_waits(self) -> list[dict[str, Any]]:
        return self.waits if self.state == "suspended" else []

    # For the harness

    def take_answers(self, given: Mapping[str, Any]) -> bool:
        """Whether one of them answers a wait of this run."""
        found = [wait for wait in self._open_waits() if wait["name"] in given]
        for wait in found:
            value = given[wait["name"]]
            if wait["kind"] == "run":
                value = ended_child(wait, value, self._child_results)
            value = _plain(f"the answer to {wait['name']!r}", value)
            self._answers.append({"call": wait["call"], "over": False, "value": value})
        return bool(found)

    def attempt(self, crash_after: CrashAfter, seed: int, threads: int) -> None:
        """Executes one attempt and records it."""
        number = len(self.attempts) + 1
        start = {
            "run": self._id,
            "fence": number,
            "run_name": self.flow.name,
            "parameters": self._parameters,
            "answers": list(self._answers),
            "child_results": self._child_results,
        }
        plan = Plan(
            self.flow,
            self._harness.clock,
            start,
            list(self._facts),
            crash_after,
            f"{seed}:{number}",
            threads,
            self._harness.secrets,
            self._harness.variables,
        )
        told = self._last = execute(plan)
        self._facts += told.frames
        record = AttemptRecord(number, self.flow.name, told.frames, crashed=told.crashed)
        self.attempts.append(record)
        if crash_after is not None and not told.crashed:
            raise HarnessError(
                f"the attempt did not crash after {crash_after!r}: it told {self.facts} facts, of these calls: {self.calls}"
            )

    def _advice(self) -> str:
        if self.state == "suspended":
            return "Answer what it waits for (`run.answer(name, value)`), or move the clock and go on (`run.again()`)"
        return "Go on with `run.again()`"

    def __repr__(self) -> str:
        state = self.state if self.attempts else "not begun"
        error = f": {self.error!r}" if self.error else ""
        waits = "".join(f", waits for {wait['name']!r}" for wait in self._open_waits())
        return f"<run of {self.flow.name}: {state}{error}{waits}, {len(self.attempts)} attempt(s)>"


class Harness:
    """Runs flows. `clock` is their time; it stands still between runs."""

    def __init__(
        self,
        *,
        now: datetime = _START,
        seed: int = 0,
        jump: bool = True,
        threads: int = 0,
        secrets: Mapping[str, str] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = Clock(now)
        self.secrets = dict(secrets or {})
        """What `headway.secret(name).get()` finds, by name. A run's next attempt sees what was changed here."""
        self.variables = dict(variables or {})
        """What `headway.variables.get(name)` finds; a run's next attempt sees what was changed here."""
        self._seed = seed
        self._jump = jump
        self._threads = threads
        self._runs = 0

    @overload
    def run(
        self,
        flow: Flow[..., Coroutine[Any, Any, T]],
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        crash_after: CrashAfter = None,
        answers: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Run[T]: ...
    @overload
    def run(
        self,
        flow: Flow[..., T],
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        crash_after: CrashAfter = None,
        answers: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Run[T]: ...
    def run(
        self,
        flow: Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        crash_after: CrashAfter = None,
        answers: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Run[Any]:
        """Runs a flow until it has ended, crashed, or waits for something that is not here.

        Retries of the flow follow, after their delay; so do attempts after a long `headway.sleep`, unless the harness was
        made with `jump=False`. A failure of the flow is no error here: it is in the run's `state`, `error`, `result()`.

        Args:
            flow: The flow.
            parameters: Its parameters by name, where a name is one of the options here.
            crash_after: The first attempt's process dies: after so many facts (`Run.events`), or when the first call of
                that name has ended. `Run.again` begins the next one.
            answers: To what the flow waits for, by the wait's name.
            **named: Its parameters. They are checked as those of any run; what JSON has no form for is refused.

        Raises:
            HarnessError: `crash_after` was never reached; this is no flow; a parameter has no JSON form; or the caller is
                itself part of a run or of an event loop.
        """
        if not isinstance(flow, Flow):
            raise HarnessError(
                f"{flow!r} is no flow: decorate it with @flow. A task is called by a flow; outside one it is a plain function"
            )
        self._runs += 1
        given = {**(parameters or {}), **named}
        plain_values = {name: _plain(f"parameter {name!r}", given[name]) for name in given}
        run: Run[Any] = Run(self, flow, self._runs, plain_values)
        self.go_on(run, crash_after, answers or {})
        return run

    def crashes(
        self,
        flow: Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        answers: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Iterator[Run[Any]]:
        """The flow once for each place where its first attempt can crash, and each time gone on with after it.

        `for run in h.crashes(daily): assert run.result() == 10` says that the flow survives a crash anywhere.
        """
        given = {**(parameters or {}), **named}
        whole = self.run(flow, given, answers=answers)
        places = sum(event["type"] != "attempt.ended" for event in whole.attempts[0].events)
        for place in range(1, places + 1):
            yield self.run(flow, given, crash_after=place, answers=answers).again(answers=answers)

    # What follows serves Run.

    def seconds_until(self, at_us: int) -> float:
        """From now; 0 for what has passed."""
        return max(0.0, (at_us - self.clock.now_us()) / 1e6)

    def go_on(self, run: Run[Any], crash_after: CrashAfter, answers: Mapping[str, Any]) -> None:
        """Attempts, as long as there is a reason for one more."""
        with _alone():
            if run.attempts:
                run.take_answers(answers)
            failed = 0
            for _ in range(_MOST_ATTEMPTS):
                run.attempt(crash_after, self._seed, self._threads)
                crash_after = None
                failed += run.state == "failed"
                if not self._goes_on(run, failed, answers):
                    return
        raise HarnessError(f"{_MOST_ATTEMPTS} attempts, and no end: {run!r}")

    def _goes_on(self, run: Run[Any], failed: int, answers: Mapping[str, Any]) -> bool:
        """Whether the control plane would begin one more attempt; the clock is moved to its beginning."""
        retries = run.flow.run_retries
        if run.state == "failed" and failed <= retries.limit:
            draw = Random(f"{self._seed}:retry:{failed}").random  # noqa: S311 - the same each time
            self.clock.advance(retries.delay_us(failed, draw) / 1e6)
            return True
        if run.state != "suspended":
            return False
        if run.take_answers(answers):
            return True
        sleeps = [w["until_us"] for w in run.waits if w["kind"] == "sleep" and "until_us" in w]
        if self._jump and sleeps:
            self.clock.advance(self.seconds_until(min(sleeps)))
            return True
        return False


@contextmanager
def harness(
    *,
    now: datetime = _START,
    seed: int = 0,
    jump: bool = True,
    threads: int = 0,
    secrets: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Iterator[Harness]:
    """Makes what runs flows in a test.

    `with harness() as h: assert h.run(daily, day="2026-11-22").result() == 10`

    Args:
        now: Where its clock begins, with a zone; the first of January 2026, UTC, by default.
        seed: Of chance: `random` gives the same numbers in each equal run, and so do jittered delays.
        jump: Whether a run that sleeps goes on by itself, the clock moved on. Without, it is suspended; move the clock
            (`h.clock.advance(3600)`) and go on (`run.again()`).
        threads: How many threads execute submitted calls. 0: each is executed when it is submitted, so that all runs of
            a test are alike. Tasks that wait for each other need as many as there are of them.
        secrets: Values by name, for `headway.secret`. As in any run, they are taken out of what the run records.
        variables: Values by name, for `headway.variables.get`.

    Raises:
        ValueError: `now` has no zone, or `threads` is negative.
    """
    if threads < 0:
        raise ValueError(f"threads must be 0 or more, not {threads}")
    yield Harness(
        now=now, seed=seed, jump=jump, threads=threads, secrets=secrets, variables=variables
    )


@contextmanager
def _alone() -> Iterator[None]:
    if current_call() is not None:
        raise HarnessError("this is part of a run already: a flow calls another flow as a function")
    if running_loop() is not None:
        raise HarnessError(
            "an event loop runs here, and flows bring their own: call this from a test that is not async, or by asyncio.to_thread"
        )
    if not _one_at_a_time.acquire(blocking=False):
        raise HarnessError("another thread of this process runs a flow: one at a time")
    try:
        yield
    finally:
        _one_at_a_time.release()


def _plain(what: str, value: Any) -> Any:
    try:
        return plain(value)
    except NotPlain as error:
        raise HarnessError(
            f"{what} has no JSON form, so no run could be given it: {error}"
        ) from None
