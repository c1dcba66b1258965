"""Small things that several pages show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode
from uuid import UUID

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.subflows import SubflowView
from headway_control_plane.ui.words import Moment, duration, moment


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as one line of a list."""

    id: UUID
    href: str
    state: str
    icon: str
    flow: str
    name: str
    deployment: str
    reason: str
    reason_href: str | None
    age: Moment
    age_word: str
    took: str
    tasks: str
    tasks_href: str
    within: str = ""  # of a sub-flow: the flow of its run


ICONS = {"retrying": "pending", "interrupted": "crashed"}
"""Signs of those statuses of calls that have none of their own."""
LEFT_OPEN = {
    "paused": "suspended with its run",
    "interrupted": "its attempt ended before it did",
}
"""How calls stand that had not ended when their attempt did."""


def run_row(view: RunView, now: datetime, errors: Mapping[bytes, str] | None = None) -> RunRow:
    """Shape one run for a list; `errors` holds first lines of error messages by their digest."""
    word, at = run_age(view)
    message = (errors or {}).get(view.error_text, "")
    reason = view.reason.text or "completed"
    return RunRow(
        id=view.id,
        href=f"/runs/{view.id}",
        state=view.state,
        icon=view.state,
        flow=view.flow,
        name=view.name,
        deployment=view.deployment.name,
        reason=f"{reason}: {message}" if message and view.reason.code == "error" else reason,
        reason_href="/agents#pools" if view.reason.code in _BLOCKED_BY_AGENTS else None,
        age=moment(at, now),
        age_word=word,
        took=duration(view.duration) if view.duration is not None else "",
        tasks=task_words(view),
        tasks_href=f"/runs/{view.id}#tasks",
    )


def subflow_row(view: SubflowView, now: datetime, errors: Mapping[bytes, str]) -> RunRow:
    """Shape one sub-flow for a list of runs."""
    message = errors.get(view.error_text, "")
    why = f"{view.error_class}: {message}" if message else view.error_class
    length = view.duration(now)
    run = f"/runs/{view.run.id}"
    return RunRow(
        id=view.place,
        href=f"{run}/flows/{view.call.hex()}",
        state=view.status,
        icon=ICONS.get(view.status, view.status),
        flow=view.name,
        name=view.run.name,
        deployment=view.deployment.name,
        reason=why or subflow_words(view.status),
        reason_href=None,
        age=moment(view.ended_at or view.started_at, now),
        age_word="ended" if view.ended_at else "started",
        took=duration(length) if length is not None else "",
        tasks="",
        tasks_href="",
        within=view.flow or "(name withheld)",
    )


def subflow_words(status: str) -> str:
    """Say in a few words how a sub-flow stands."""
    return {
        "running": "executing in its run",
        "retrying": "waits to be tried again",
        "skipped": "kept from an earlier attempt or run",
        "cancelled": "cancelled",
    }.get(status, LEFT_OPEN.get(status, status))


def first_lines(contents: Mapping[bytes, bytes]) -> dict[bytes, str]:
    """Return the first line of each error's message, for lists."""
    lines = {}
    for digest, content in contents.items():
        try:
            told = read_foreign(content)
        except ValueError:
            continue  # the run's own page shows what it is
        message = told.get("message") if isinstance(told, dict) else None
        if isinstance(message, str) and message.strip():
            lines[digest] = message.strip().splitlines()[0][:300]
    return lines


_BLOCKED_BY_AGENTS = frozenset(
    {"no agent", "pool at its limit", "agents are draining", "no free slot", "disconnected"}
)


def run_age(view: RunView) -> tuple[str, datetime]:
    """Return the instant that a state's age counts from, and what happened then."""
    if view.ended_at is not None:
        return "ended", view.ended_at
    if view.started_at is not None:
        return "started", view.started_at
    if view.due_at > view.created_at + timedelta(seconds=1):
        return "due", view.due_at
    return "created", view.created_at


def task_words(view: RunView) -> str:
    """Write how a run's tasks stand: done of all, and what went wrong."""
    sums = view.tasks
    if sums is None or not sums.total:
        return ""
    text = f"{sums.done:,}/{sums.total:,}"
    return f"{sums.failed:,} failed · {text}" if sums.failed else text


@dataclass(frozen=True, slots=True)
class Tab:
    """One of several views of a list, with the number of what it holds."""

    name: str
    href: str
    number: str
    current: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value, for a line of facts. `mono` for ids and code."""

    name: str
    text: str
    href: str | None = None
    mono: bool = False
    copy: str | None = None
    at: Moment | None = None


def link(path: str, values: Mapping[str, str | Sequence[str] | None]) -> str:
    """Return a link with those query values that are not empty."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, str):
            pairs.extend([(name, value)] if value else [])
        elif value:
            pairs.extend((name, each) for each in value)
    return f"{path}?{urlencode(pairs)}" if pairs else path


def artifact_href(key: str) -> str:
    """Return the page of an artifact; whatever its key holds is a part of the path."""
    return f"/artifacts/{quote(key, safe='')}"


def deployment_href(name: str) -> str:
    """Return the page of a deployment; whatever its name holds is a part of the path."""
    return f"/deployments/{quote(name, safe='')}"


def compact(facts: Iterable[Fact | None]) -> list[Fact]:
    """Leave out facts that do not apply."""
    return [fact for fact in facts if fact is not None and (fact.text or fact.at)]
