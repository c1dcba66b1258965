"""What the page of a sub-flow says in words: the answer, the error, facts, what can be done."""

from __future__ import annotations

from datetime import datetime, timedelta

from headway_control_plane.domain.fork import Verb
from headway_control_plane.projections.attempts import ErrorView
from headway_control_plane.projections.call_view import FoundSubflow
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.tasks import Task
from headway_control_plane.ui import words
from headway_control_plane.ui.views.axis import Axis
from headway_control_plane.ui.views.lanes import WITHHELD, call_href
from headway_control_plane.ui.views.parts import (
    ICONS,
    Fact,
    compact,
    deployment_href,
    link,
    subflow_words,
)
from headway_control_plane.ui.views.run_page import Action, ErrorCard, make_card, no_message
from headway_control_plane.ui.views.timeline import Lane, call_shapes
from headway_control_plane.ui.views.until import Until
from headway_control_plane.ui.words import duration, moment


def answer(found: FoundSubflow, run: RunView) -> str:
    """Say how the sub-flow stands, and what it waits for if its run does."""
    task = found.task
    if task.status == "paused" and run.reason.text and found.fence == run.fence:
        return f"waits with its run: {run.reason.text}"
    if task.status == "skipped":
        return words.skipped(task.skipped_for)
    return task.error_class or subflow_words(task.status)


def took(found: FoundSubflow, now: datetime) -> str:
    """Say how long it took, or has taken."""
    if found.task.status in {"paused", "skipped"}:
        return ""
    word = "took" if found.task.ended_at else "for"
    length = (found.task.ended_at or now) - found.task.started_at
    return f"{word} {duration(max(length, timedelta()))}"


def own_lane(found: FoundSubflow, axis: Axis, until: Until) -> Lane:
    """Return the row of the sub-flow itself, above those of what it calls."""
    call = found.task
    end = until.end_of(call)
    note = call.status if call.status != "completed" else ""
    length = duration(max(end - call.started_at, timedelta()))
    retries = [(retry.at, retry.delay_us, retry.error_class) for retry in call.retries]
    return Lane(
        key=call.call.hex(),
        label=call.name or WITHHELD,
        state=call.status,
        icon=ICONS.get(call.status, call.status),
        title=f"{call.name or WITHHELD}: {call.status}, {length}",
        note=f"{note} · {length}" if note else length,
        shapes=call_shapes(
            axis, call.started_at, end, call.status, retries, waits_until=until.wait_of(call)
        ),
    )


def facts(found: FoundSubflow, run: RunView, around: Task | None, now: datetime) -> list[Fact]:
    """Return what is not in the answer; first of all, where it belongs."""
    call, base = found.task, f"/runs/{run.id}?attempt={found.fence}"
    fences = f"{found.fence} of {run.fence}" if run.fence > 1 else ""
    return compact(
        [
            Fact("run", run.name, href=f"/runs/{run.id}"),
            around_link(around, run, found.fence),
            Fact("attempt", fences, href=base),
            Fact("call", call.call.hex()[:12], mono=True, copy=call.call.hex()),
            Fact("deployment", run.deployment.name, href=deployment_href(run.deployment.name)),
            Fact("pool", run.pool.name, href="/agents#pools"),
            Fact("agent", found.attempt.agent_name, href="/agents") if found.attempt else None,
            Fact("started", "", at=moment(call.started_at, now)),
            Fact("ended", "", at=moment(call.ended_at, now)) if call.ended_at else None,
            Fact("tries", str(call.tries)) if call.tries > 1 else None,
        ]
    )


def around_link(around: Task | None, run: RunView, fence: int) -> Fact | None:
    """Name the call around the sub-flow; None directly in the run's flow."""
    if around is None:
        return None
    href = call_href(around, f"/runs/{run.id}?attempt={fence}")
    return Fact("called by", around.name or WITHHELD, href=href)


def error_card(found: FoundSubflow, run: RunView, error: ErrorView | None) -> ErrorCard | None:
    """Return the card of a sub-flow that failed."""
    if error is None or found.task.status not in {"failed", "retrying"}:
        return None
    withheld = no_message(run, error, permitted="error_text" in run.permits)
    if not run.is_terminal:
        step = "Its run goes on; whether it handles this error shows there."
    else:
        step = "Put the code right and deploy, then retry it: what has completed within it is not executed again."
    return make_card(error, found.task.status, next_step=step, withheld=withheld)


def actions(found: FoundSubflow, run: RunView, *, parameters_known: bool) -> list[Action]:
    """Return what can be done from this call on: a new run of its flow that keeps the other results."""
    if not run.is_terminal or not parameters_known:
        return []
    call = found.task.call.hex()
    plan = f"/runs/{run.id}/plan"
    bad = found.task.status != "completed"
    retry = "Execute this sub-flow again, and what depends on it; shows first what will execute"
    rerun = "Execute again it and all that began after it; shows first what will execute"
    return [
        Action(
            "Retry from here…", link(plan, {"verb": Verb.RETRY, "call": call}), retry,
            primary=bad, leads=True,
        ),
        Action("Rerun from here…", link(plan, {"verb": Verb.RERUN, "call": call}), rerun, leads=True),
    ]  # fmt: skip


def count_words(total: int, done: int, *, capped: bool) -> str:
    """Say how many of the calls within are done."""
    if capped:
        return f"more than {words.plural(total, 'task')}"
    return f"{done:,} of {words.plural(total, 'task')}"
