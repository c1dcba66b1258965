"""The harness: runs a flow attempt after attempt, as agents and the control plane would."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from threading import Lock
from typing import Any, TypeVar, overload
from uuid import UUID

from headway.context import current_call
from headway.flows import Flow
from headway.futures import running_loop
from headway.testing.children import DEEPEST, asked
from headway.testing.memory import CrashAfter
from headway.testing.records import HarnessError
from headway.testing.runs import Run, as_plain
from headway.testing.time import Clock

T = TypeVar("T")
_START = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_ATTEMPTS = 1000
_one_at_a_time = Lock()


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
        deployments: Mapping[str, Flow[..., Any]] | None = None,
        tags: Sequence[str] = (),
        scheduled_time: datetime | None = None,
    ) -> None:
        self.clock = Clock(now)
        self.secrets = dict(secrets or {})
        """What `headway.secret(name).get()` finds, by name. A run's next attempt sees what was changed here."""
        self.variables = dict(variables or {})
        """What `headway.variables.get(name)` finds, and what flows have set; a run's next attempt sees what was changed here."""
        self.deployments = dict(deployments or {})
        """The flows of deployments, by name: runs of these are executed when a flow starts them (`Run.children`)."""
        self.tags = list(tags)
        """What the runs that begin from here on have in `run_context().tags`, beside their flow's own."""
        self.scheduled_time = scheduled_time
        """`run_context().scheduled_time` of the runs that begin from here on; None: the moment when each begins."""
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
            answers: To what the flow, or a run that it starts, waits for, by the wait's name.
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
        plain_values = {name: as_plain(f"parameter {name!r}", given[name]) for name in given}
        run: Run[Any] = Run(self, flow, str(UUID(int=self._runs)), plain_values)
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

    def due_us(self) -> int:
        """When a run that is made now is to begin."""
        if self.scheduled_time is None:
            return self.clock.now_us()
        if self.scheduled_time.tzinfo is None:
            raise HarnessError(f"scheduled_time has no zone: {self.scheduled_time!r}")
        return round(self.scheduled_time.timestamp() * 1e6)

    def seconds_until(self, at_us: int) -> float:
        """From now; 0 for what has passed."""
        return max(0.0, (at_us - self.clock.now_us()) / 1e6)

    def go_on(self, run: Run[Any], crash_after: CrashAfter, answers: Mapping[str, Any]) -> None:
        """Attempts, as long as there is a reason for one more."""
        with _alone():
            self._go_on(run, crash_after, answers)

    def _go_on(self, run: Run[Any], crash_after: CrashAfter, answers: Mapping[str, Any]) -> None:
        if run.attempts:
            run.take_answers(answers)
            run.hear_children()
        failed = 0
        for _ in range(_MOST_ATTEMPTS):
            run.attempt(crash_after, self._seed, self._threads)
            crash_after = None
            failed += run.state == "failed"
            self._execute_children(run, answers)
            if not self._goes_on(run, failed, answers):
                return
        raise HarnessError(f"{_MOST_ATTEMPTS} attempts, and no end: {run!r}")

    def _execute_children(self, run: Run[Any], answers: Mapping[str, Any]) -> None:
        """Those that it has asked for and whose time has come, one after another; each once."""
        begun = {child.id for child in run.children}
        for wish in asked(run.events):
            flow = self.deployments.get(wish.deployment)
            wait = self.seconds_until(wish.due_us)
            is_told = wish.deployment in answers  # the test says what it comes to
            if flow is None or is_told or wish.run in begun or (wait and not self._jump):
                continue
            if run.depth == DEEPEST:
                raise HarnessError(
                    f"{DEEPEST} runs stand above one of {wish.deployment!r}, each started by the next: that is the limit"
                )
            self.clock.advance(wait)
            child: Run[Any] = Run(
                self, flow, wish.run, wish.parameters, run.depth + 1, wish.due_us, wish.tags
            )
            run.children.append(child)
            self._go_on(child, None, answers)

    def _goes_on(self, run: Run[Any], failed: int, answers: Mapping[str, Any]) -> bool:
        """Whether the control plane would begin one more attempt; the clock is moved to its beginning."""
        retries = run.flow.run_retries
        if run.state == "failed" and failed <= retries.limit:
            draw = Random(f"{self._seed}:retry:{failed}").random  # noqa: S311 - the same each time
            self.clock.advance(retries.delay_us(failed, draw) / 1e6)
            return True
        if run.state != "suspended":
            return False
        run.refuse_wrong(answers)
        if any([run.take_answers(answers), run.hear_children()]):
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
    deployments: Mapping[str, Flow[..., Any]] | None = None,
    tags: Sequence[str] = (),
    scheduled_time: datetime | None = None,
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
        deployments: Flows by the name of their deployment: runs of them that a flow starts are executed, one after
            another, when the attempt that started them is over, and what they return is what it waits for. Of others
            the test says what they come to (`answers`).
        tags: What runs have in `run_context().tags`, beside their flow's own.
        scheduled_time: What runs have in `run_context().scheduled_time`, with a zone; the moment when each begins, by default.

    Raises:
        ValueError: `now` has no zone, or `threads` is negative.
    """
    if threads < 0:
        raise ValueError(f"threads must be 0 or more, not {threads}")
    yield Harness(
        now=now,
        seed=seed,
        jump=jump,
        threads=threads,
        secrets=secrets,
        variables=variables,
        deployments=deployments,
        tags=tags,
        scheduled_time=scheduled_time,
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
