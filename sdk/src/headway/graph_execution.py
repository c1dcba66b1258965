"""Executes a declared graph: submits each step as soon as its trigger can say yes, and passes over what it says no to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headway.futures import Future, allow_failure, as_completed
from headway.graph_steps import Parameter, Step

Verdict = Literal["execute", "pass over", "not yet"]
Seen = Literal["succeeded", "failed", "passed over", "open"]
_PATIENT = frozenset({"all_success", "all_done"})
"""Triggers that a submitted call can wait out by itself."""


class Execution:
    """One run of a graph."""

    def __init__(self, order: Sequence[Step], given: Mapping[str, Any]) -> None:
        self._waiting = list(order)
        self._given = given
        self._futures: dict[Step, Future[Any]] = {}
        self._passed_over: set[Step] = set()

    def run(self) -> Mapping[Step, Future[Any]]:
        """Submits all steps. Gives their futures; that of a step which was passed over has the value None."""
        while True:
            self._submit_what_can_be()
            if not self._waiting:
                return self._futures
            looked_at = {above for step in self._waiting for above in step.above}
            running = [
                future
                for step, future in self._futures.items()
                if step in looked_at and not future.done()
            ]
            for _ in as_completed(running):  # empty where the last one has ended since it was asked
                break

    def _submit_what_can_be(self) -> None:
        """In the order of the graph, where each step stands behind those that it waits for."""
        for step in list(self._waiting):
            verdict = self._verdict(step)
            if verdict == "not yet":
                continue
            self._waiting.remove(step)
            self._futures[step] = (
                self._submit(step) if verdict == "execute" else self._pass_over(step)
            )

    def _verdict(self, step: Step) -> Verdict:
        if any(above not in self._futures for above in step.above):
            return "not yet"
        if step.trigger in _PATIENT and not self._passed_over.intersection(step.above):
            return "execute"
        return decide(step.trigger, {self._seen(above) for above in step.above})

    def _seen(self, step: Step) -> Seen:
        if step in self._passed_over:
            return "passed over"
        future = self._futures[step]
        if not future.done():
            return "open"
        return "failed" if future.has_failed else "succeeded"

    def _pass_over(self, step: Step) -> Future[Any]:
        self._passed_over.add(step)
        future: Future[Any] = Future()
        future.complete(None)
        return future

    def _submit(self, step: Step) -> Future[Any]:
        marked = {above: self._marked(step, above) for above in step.above}
        # A step that goes on the first success or failure does not wait for those that are still at work.
        after = [
            marked[above]
            for above in step.above
            if step.trigger in _PATIENT or self._futures[above].done()
        ]

        def filled(value: Any) -> Any:
            if isinstance(value, Step):
                return marked[value]
            if isinstance(value, Parameter):
                return self._given[value.name]
            if type(value) is dict:
                return {name: filled(each) for name, each in value.items()}
            return type(value)(map(filled, value)) if type(value) in (list, tuple) else value

        args, kwargs = filled(step.args), filled(dict(step.kwargs))
        submitted: Future[Any] = step.task.submit(*args, wait_for=after, **kwargs)
        return submitted

    def _marked(self, step: Step, above: Step) -> Any:
        future = self._futures[above]
        if step.trigger == "all_success":
            return future
        hopeless = step.trigger == "one_success" and not any(
            self._seen(each) == "succeeded" for each in step.above
        )
        return future if hopeless else allow_failure(future)


def decide(trigger: str, seen: set[Seen]) -> Verdict:
    """What becomes of a step, by what is seen of those that it waits for (of which a patient one sees some passed over)."""
    match trigger:
        case "all_done":
            return "execute"
        case "one_success" if "succeeded" in seen:
            return "execute"
        case "one_success" if "open" in seen:
            return "not yet"
        case "one_success":  # it fails as they did
            return "execute" if "failed" in seen else "pass over"
        case "one_failed" if "failed" in seen:
            return "execute"
        case "one_failed":
            return "not yet" if "open" in seen else "pass over"
        case "all_failed" if not seen & {"succeeded", "passed over"}:
            return "not yet" if "open" in seen else "execute"
    return "pass over"
