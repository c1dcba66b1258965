"""A run in memory, as a test sees it: what has become of it, and ways to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from headway.flows import Flow
from headway.parameters.plain import NotPlain, plain
from headway.testing.children import child_that_ended, ended_child
from headway.testing.memory import CrashAfter, Plan, Told, execute
from headway.testing.outputs import Outputs, carry_out, written_in
from headway.testing.records import AttemptRecord, CallRecord, HarnessError, LogLine

if TYPE_CHECKING:
    from headway.testing.running import Harness

T = TypeVar("T")


class Run(Outputs, Generic[T]):
    """A run of a flow: what has become of it so far, and ways to go on."""

    def __init__(
        self,
        harness: Harness,
        flow: Flow[..., Any],
        run: str,
        parameters: Mapping[str, Any],
        depth: int = 0,
        due_us: int = 0,
        tags: Sequence[str] = (),
    ) -> None:
        self.flow = flow
        self.id = run
        self.attempts: list[AttemptRecord] = []
        """All attempts, oldest first."""
        self.children: list[Run[Any]] = []
        """The runs that it has started of deployments whose flows the harness knows, in the order in which they were asked for."""
        self.depth = depth
        """How many runs stand above it."""
        self._harness = harness
        self._parameters = parameters
        self._due_us = due_us or harness.due_us()
        self._tags = list(dict.fromkeys([*flow.tags, *harness.tags, *tags]))
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
            self._take(wait, as_plain(f"the answer to {wait['name']!r}", value))
        return bool(found)

    def refuse_wrong(self, given: Mapping[str, Any]) -> None:
        """Answers that did not fit would be given for ever: the flow asks again. HarnessError if there is such a one."""
        for wait in self._open_waits():
            problems = wait.get("request", {}).get("problems")
            if problems and wait["name"] in given:
                raise HarnessError(
                    f"the answer to {wait['name']!r} does not fit, and a run would ask again: {'; '.join(problems)}"
                )

    def hear_children(self) -> bool:
        """Whether one that this run waits for has ended, or is waited for no longer."""
        children = {child.id: child for child in self.children if child.state != "suspended"}
        found = [wait for wait in self._open_waits() if wait.get("run") in children]
        for wait in found:
            if "until_us" not in wait or self._harness.seconds_until(wait["until_us"]):
                self._take(wait, child_that_ended(children[wait["run"]], self._child_results))
        return bool(found)

    def _take(self, wait: Mapping[str, Any], value: Any) -> None:
        self._answers.append({"call": wait["call"], "over": False, "value": value})

    def attempt(self, crash_after: CrashAfter, seed: int, threads: int) -> None:
        """Executes one attempt and records it."""
        number = len(self.attempts) + 1
        start = {
            "run": self.id,
            "fence": number,
            "run_name": self.flow.name,
            "tags": self._tags,
            "due_at_us": self._due_us,
            "parameters": self._parameters,
            "answers": list(self._answers),
            "variables": "settable",
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
        carry_out(written_in(record.events), self._harness.variables)
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


def as_plain(what: str, value: Any) -> Any:
    """Its JSON form. Raises HarnessError when it has none."""
    try:
        return plain(value)
    except NotPlain as error:
        raise HarnessError(
            f"{what} has no JSON form, so no run could be given it: {error}"
        ) from None
