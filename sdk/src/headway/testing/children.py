"""The runs that a flow has started: executed here where the test names their flows, or ended as the test says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from headway import payloads
from headway.errors import ParameterError, ResultElsewhere, RunRefused
from headway.runtime.child_results import ChildResult, SitOut
from headway.runtime.results import ResultReader

if TYPE_CHECKING:
    from headway.testing.runs import Run

DEEPEST = 20
"""How many runs may stand above one, each started by the next: as the control plane has it."""
_inline = ResultReader((), "")


class Asked(NamedTuple):
    """A run that a flow has asked for, with tags of its own. `due_us` 0: at once."""

    run: str
    deployment: str
    parameters: Mapping[str, Any]
    due_us: int
    tags: tuple[str, ...]


def asked(events: Iterable[Mapping[str, Any]]) -> Iterator[Asked]:
    """What these facts ask for; again for what an earlier attempt asked for, too."""
    for event in events:
        if event["type"] == "run.requested":
            tags = tuple(event.get("labels", {}).get("tags", ()))
            values, due_us = event.get("parameters", {}), event.get("due_us", 0)
            yield Asked(event["run"], event["name"], values, due_us, tags)


def ended_child(wait: Mapping[str, Any], given: Any, results: dict[str, Any]) -> dict[str, Any]:
    """As the control plane answers such a wait: an exception failed the run, anything else is what its flow returned.

    RunRefused: there is no such run.
    """
    if isinstance(given, RunRefused):
        problems = [list(problem) for problem in given.problems]
        return _refused(given.code, given.message, problems, given.hint)
    failed = isinstance(given, BaseException)
    results[wait["run"]] = None if failed else given
    return _told(wait["run"], "failed" if failed else "completed", given if failed else None)


def child_that_ended(child: Run[Any], results: dict[str, Any]) -> dict[str, Any]:
    """The same of a run that was executed; one that is refused is none."""
    if isinstance(child.error, ParameterError):
        problems = [
            [f"parameters.{path}" if path else "parameters", message]
            for path, message in child.error.problems
        ]
        return _refused("invalid_parameters", "The parameters do not fit the flow.", problems)
    if child.state == "completed":
        kept = _inline(child.attempts[-1].events[-1]["result"])
        if kept is not None:
            results[child.id] = payloads.decode(kept.payload)
    return _told(child.id, child.state, child.error)


def result_in(results: Mapping[str, Any]) -> ChildResult:
    """Reads them as a run reads the values of the runs that it has started."""

    def result(run: str, _fence: int, _sit_out: SitOut) -> Any:
        if run not in results:
            raise ResultElsewhere(run, "its value could not be kept")
        return results[run]

    return result


def _told(run: str, state: str, error: BaseException | None) -> dict[str, Any]:
    return {
        "run": run,
        "name": "",
        "state": state,
        "error_class": type(error).__name__ if error else "",
        "fence": 1,
    }


def _refused(
    code: str, message: str, problems: Iterable[list[str]] = (), hint: str = ""
) -> dict[str, Any]:
    told = {"code": code, "message": message, "hint": hint, "problems": list(problems)}
    return {"refused": told}
