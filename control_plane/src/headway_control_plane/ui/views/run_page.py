"""What the page of one run says in words: the answer, the error with its next step, facts, log lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.attempts import AttemptView, ErrorView, ResultView
from headway_control_plane.projections.logs import LogLine
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.tasks import Task
from headway_control_plane.ui import words
from headway_control_plane.ui.views.lanes import WITHHELD, call_href
from headway_control_plane.ui.views.parts import (
    ICONS,
    LEFT_OPEN,
    Fact,
    compact,
    deployment_href,
    link,
)
from headway_control_plane.ui.views.without_journal import without_journal
from headway_control_plane.ui.words import Moment, duration, moment


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback."""

    place: str
    code: str
    user: bool


@dataclass(frozen=True, slots=True)
class ErrorCard:
    """What failed, where in the user's code, and one step on. `text` says why there is no message, if there is none."""

    title: str
    message: str
    place: str
    frames: tuple[Frame, ...]
    next_step: str
    withheld: str
    copy: str


def error_card(run: RunView, error: ErrorView | None, *, permitted: bool) -> ErrorCard | None:
    """Return the card of a run that failed, crashed, or waits to be tried again."""
    if error is None and run.state not in {RunStatus.FAILED, RunStatus.CRASHED}:
        return None
    withheld = no_message(run, error, permitted=permitted)
    return make_card(error, run.reason.text, next_step=next_step(run), withheld=withheld)


def make_card(
    error: ErrorView | None, otherwise: str, *, next_step: str, withheld: str
) -> ErrorCard:
    """Return the card of an error; `otherwise` is its title where nothing of it is known."""
    name = error.error_class if error else ""
    # The text comes from an agent: it may be anything.
    told: Any = error.message if error else None
    message = told.strip() if isinstance(told, str) else json.dumps(told) if told else ""
    frames = _frames(error.traceback if error else None)
    own = [frame for frame in frames if frame.user]
    first_line, _, rest = message.partition("\n")
    title = f"{name}: {first_line}" if name and first_line else name or first_line or otherwise
    return ErrorCard(
        title=title,
        message=rest.strip("\n"),
        place=own[-1].place if own else "",
        frames=frames,
        next_step=next_step,
        withheld=withheld,
        copy="\n".join(
            [title, message, *(f"  {frame.place}\n    {frame.code}" for frame in frames)]
        ),
    )


def _frames(traceback: object) -> tuple[Frame, ...]:
    frames = []
    for item in traceback if isinstance(traceback, list) else ():
        if isinstance(item, dict):
            place = (
                f"{item.get('file', '?')}:{item.get('line', '?')} in {item.get('function', '?')}"
            )
            frames.append(Frame(place, str(item.get("code") or ""), bool(item.get("user"))))
    return tuple(frames)


def no_message(run: RunView, error: ErrorView | None, *, permitted: bool) -> str:
    """Say why an error has no text, where it has none."""
    if error is None or error.message is not None or not error.error_class:
        return ""
    if not permitted:
        return (
            f'Message and traceback were withheld: the permits of pool "{run.pool.name}" do not name error_text. '
            f"They lie with agent {run.agent.name if run.agent else '?'}, in the attempt's frames.log."
        )
    return "Message and traceback were erased."


def next_step(run: RunView) -> str:
    """Return what a person can do, or what happens by itself."""
    match run.state:
        case RunStatus.SCHEDULED | RunStatus.PENDING | RunStatus.RUNNING:
            left = run.retries - run.attempts_failed + 1
            return f"It is tried again by itself; {words.plural(max(left, 0), 'attempt')} of {run.retries + 1} left."
        case RunStatus.FAILED if run.reason.code == "refused":
            return "The agent did not execute it. Deploy again from the folder that holds the flow, then run again."
        case RunStatus.FAILED if run.reason.code == "lost":
            return "Its agent was lost. See whether the agent is back, then run again; or deploy with on_lost=retry."
        case RunStatus.FAILED:
            tried = f"All {words.plural(run.fence, 'attempt')} failed. " if run.fence > 1 else ""
            return f"{tried}Put the code right and deploy, then resume it: what has completed is not executed again."
        case RunStatus.CRASHED:
            return "The process ended without an error of Python: out of memory, a signal, an exit. The end of the log shows what it did last; then resume it."
        case _:
            return "Run again with the same parameters."


def withheld_log(run: RunView, permits: Iterable[str]) -> str:
    """Say why there are no log lines and where they are; empty when the pool lets them out."""
    if "log" in permits:
        return ""
    agent = run.agent.name if run.agent else "the agent"
    return (
        f'Log lines are withheld: the permits of pool "{run.pool.name}" do not name log. '
        f"They lie with {agent}, in the attempt's output.log."
    )


def run_facts(run: RunView, now: datetime) -> list[Fact]:
    """Return the facts of a run that are not in its answer."""
    retry = ""
    if run.retries:
        retry = f"{min(run.attempts_failed, run.retries)} of {run.retries} used"
    return compact(
        [
            Fact("id", words.short_id(str(run.id)), mono=True, copy=str(run.id)),
            Fact("name", run.name),
            Fact("deployment", run.deployment.name, href=deployment_href(run.deployment.name)),
            Fact("pool", run.pool.name, href="/agents#pools"),
            Fact("agent", run.agent.name, href="/agents") if run.agent else None,
            Fact("created", "", at=moment(run.created_at, now)),
            Fact("due", "", at=moment(run.due_at, now))
            if run.due_at - run.created_at > timedelta(seconds=1)
            else None,
            Fact("priority", str(run.priority)) if run.priority != 3 else None,
            Fact("retries", retry),
            Fact(
                "tags",
                " ".join(run.tags),
                href=link("/runs", {"q": f"tag:{run.tags[0]}"}) if run.tags else None,
            ),
            Fact("entry point", run.entrypoint, mono=True),
            Fact("environment", run.environment),
            Fact("version", run.flow_version),
            Fact("code", run.code_hash[:12], mono=True, copy=run.code_hash),
        ]
    )


@dataclass(frozen=True, slots=True)
class Action:
    """A form with one button. `effect` is said before, as the button's hint."""

    label: str
    href: str
    effect: str
    danger: bool = False
    primary: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)  # posted with it
    leads: bool = False  # to another page; nothing is done yet
    question: str = ""  # is asked before it is done


def actions(run: RunView, *, parameters_known: bool) -> list[Action]:
    """Return what can be done to a run now."""
    base = f"/runs/{run.id}"
    offered = []
    if run.state is RunStatus.SCHEDULED and run.reason.code == "agent away":
        effect = "Any agent may take it, and executes everything again"
        anywhere = {"anywhere": "true"}
        asked = without_journal(run)
        offered.append(
            Action("Run anywhere", f"{base}/release", effect, fields=anywhere, question=asked)
        )
    if run.state is RunStatus.PAUSED and run.reason.code in {"lost", "died", "suspended"}:
        offered.append(
            Action("Release", f"{base}/release", "The run is scheduled again", primary=True)
        )
    if not run.is_terminal and run.state is not RunStatus.CANCELLING:
        effect = (
            "The run is cancelled before it starts"
            if run.state in {RunStatus.SCHEDULED, RunStatus.PAUSED}
            else f"Agent {run.agent.name if run.agent else ''} ends the process, by force if it must"
        )
        offered.append(Action("Cancel", f"{base}/cancel", effect, danger=True))
    if run.is_terminal and parameters_known:
        bad = run.state is not RunStatus.COMPLETED and run.fence > 0
        if run.fence:
            effect = "Go on with the results that are there, or repeat single steps; shows first what will execute"
            label = "Resume…" if bad else "Rerun…"
            offered.append(Action(label, f"{base}/plan", effect, primary=bad, leads=True))
        effect = "A new run with the same parameters, from its beginning"
        offered.append(Action("Run again", f"{base}/again", effect))
    return offered


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log as it is shown."""

    number: int
    at: datetime | None
    source: str
    level: str
    label: str
    text: str
    marker: bool


def log_lines(lines: Iterable[LogLine]) -> list[Line]:
    """Shape log lines. Output without a level bears its source."""
    return [
        Line(
            number=line.line,
            at=line.at,
            source=line.source,
            level=line.level.lower(),
            label=line.level or line.source,
            text=line.text,
            marker=line.source == "headway",
        )
        for line in lines
    ]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A call, or a range, as a line of the table. `task`: what the call runs, where it has a name of its own; `rerun`: to the
    preview of executing it and what followed it again.
    """

    key: str
    name: str
    task: str
    calls: int
    kind: str
    status: str
    icon: str
    started: Moment
    took: str
    tries: str
    note: str
    href: str
    result: str
    rerun: str = ""


def task_rows(tasks: Iterable[Task], now: datetime, base: str, *, plan: str = "") -> list[TaskRow]:
    """Shape calls for the table that says what the timeline shows. `plan`: the address of the run's preview."""
    return [
        TaskRow(
            key=task.call.hex(),
            name=task.title or WITHHELD,
            task=task.name if task.run_name else "",
            calls=task.calls,
            kind=task.kind,
            status=task.status,
            icon=ICONS.get(task.status, task.status),
            started=moment(task.started_at, now),
            took=_took(task, now),
            tries=str(task.tries) if task.tries != 1 else "",
            note=_task_note(task),
            href=_task_href(task, base),
            result=words.size(int(task.result["size_bytes"])) if task.result else "",
            rerun=f"{plan}?verb=rerun&call={task.call.hex()}" if plan else "",
        )
        for task in tasks
    ]


def _took(task: Task, now: datetime) -> str:
    """Say how long a call took, or has taken; nothing of one that waits with its run."""
    if task.ended_at is None and task.status == "paused":
        return ""
    return duration((task.ended_at or now) - task.started_at)


def _task_href(task: Task, base: str) -> str:
    """To the lines of a call; of a range to its calls."""
    if not task.is_range:
        return call_href(task, base)
    path, _, query = base.partition("?")
    run = "/".join(path.split("/")[:3])  # base may be the page of the sub-flow around it
    return f"{run}?{query}&range={task.first_offset}#tasks"


def _task_note(task: Task) -> str:
    if task.status == "skipped":
        return words.skipped(task.skipped_for)
    if task.is_range:
        parts = [("p50", task.median), ("max", task.longest)]
        return ", ".join(f"{word} {duration(took)}" for word, took in parts if took is not None)
    if task.status in LEFT_OPEN:
        return LEFT_OPEN[task.status]
    if task.retries and task.status != "failed":
        last = task.retries[-1]
        return f"{words.plural(len(task.retries), 'retry', 'retries')} after {last.error_class or 'an error'}"
    return task.error_class


def pretty_json(content: bytes) -> str:
    """Return JSON with indents; what is none is shown as it is."""
    try:
        return json.dumps(read_foreign(content), indent=2, ensure_ascii=False)
    except ValueError:
        return content.decode(errors="replace")


def result_words(result: ResultView | None) -> str:
    """Say what the run returned, as far as it was let out."""
    if result is None:
        return ""
    if result.preview is not None:
        return result.preview
    return result_place(result)


def result_copy(result: ResultView | None) -> str:
    """Give what somebody wants who copies a result: the value, else what it is found by."""
    if result is None:
        return ""
    return result.preview or result.reference or result.digest


def result_place(result: ResultView | None) -> str:
    """Say in which form the result is kept, and where."""
    if result is None:
        return ""
    size = words.size(result.size_bytes)
    if not result.codec:
        return f"{size}; the rest of it stays in your network, as the pool has it"
    if result.codec == "none":
        return "a value that could not be kept: the log says why"
    if "://" in result.reference:
        return f"{result.codec}, {size}, in the store of the pool's: {result.reference}"
    return f"{result.codec}, {size}, with the agent that made it ({result.digest[:12]}…)"


def took_words(run: RunView, attempts: Sequence[AttemptView]) -> str:
    """Say how long the run took or has taken, and on how many attempts."""
    if run.duration is None:
        return ""
    word = "took" if run.is_terminal else "for"
    tries = f" in {words.plural(len(attempts), 'attempt')}" if len(attempts) > 1 else ""
    return f"{word} {duration(run.duration)}{tries}"
