"""What a resume, retry or rerun would execute, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from headway_control_plane.domain.fork import CallFacts, Plan, Verb
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.ui import words
from headway_control_plane.ui.views.lanes import WITHHELD
from headway_control_plane.ui.views.parts import Fact

SHOWN = 200


@dataclass(frozen=True, slots=True)
class PlannedList:
    """Calls of one fate."""

    title: str
    rows: Sequence[
        tuple[str, str, int]
    ]  # name, status or what of the run that it has asked for, how many that follow each other
    more: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A verb, or a call that it can begin with."""

    value: str
    label: str
    selected: bool


_VERBS = {
    Verb.RESUME: "Resume: what has no result yet",
    Verb.RETRY: "Retry one step, and what depends on it",
    Verb.RERUN: "Rerun from a step: it and all that began after it",
}


def verb_choices(verb: Verb) -> list[Choice]:
    return [Choice(each, label, each is verb) for each, label in _VERBS.items()]


def call_choices(calls: Sequence[CallFacts], call: str) -> list[Choice]:
    """The calls that a verb can begin with. A name that occurs more than once bears its key."""
    names = Counter(each.name for each in calls)
    chosen = [each for each in calls[SHOWN:] if each.call.hex() == call]
    return [
        Choice(
            each.call.hex(),
            _name(each)
            + (f" {each.call.hex()[:8]}" if names[each.name] > 1 else "")
            + f" ({each.status})",
            each.call.hex() == call,
        )
        for each in (*calls[:SHOWN], *chosen)
    ]


def lists_of(plan: Plan) -> list[PlannedList]:
    told = (
        (plan.executes, "will execute"),
        (plan.attaches, "take the run that they asked for, and start none"),
        (plan.may, "execute again only if they are given other values than before"),
        (plan.keeps, "are kept: their results are taken from the journal"),
    )
    return [_planned(plan, calls, title) for calls, title in told if calls]


def _planned(plan: Plan, calls: Sequence[CallFacts], title: str) -> PlannedList:
    alike = groupby((_name(each), plan.note(each.call) or each.status) for each in calls)
    rows = [(name, status, len(list(each))) for (name, status), each in alike]
    shown = rows[:SHOWN]
    return PlannedList(
        f"{words.plural(len(calls), 'step')} {title}",
        shown,
        len(calls) - sum(number for _, _, number in shown),
    )


def _name(call: CallFacts) -> str:
    return call.name or WITHHELD


def line_facts(
    run: RunView, forks: Sequence[tuple[object, str]], children: Sequence[Fact] = ()
) -> list[Fact]:
    """Where a run comes from, what went on from it, and which runs it has started."""
    facts = []
    if run.parent_run is not None:
        parent = str(run.parent_run)
        facts.append(Fact("started by", words.short_id(parent), href=f"/runs/{parent}"))
    facts.extend(children)
    if run.forked_from is not None and run.fork is not None:
        origin = str(run.forked_from)
        facts.append(Fact(f"{run.fork.verb} of", words.short_id(origin), href=f"/runs/{origin}"))
    for made, verb in forks[:5]:
        facts.append(Fact(f"continued ({verb})", words.short_id(str(made)), href=f"/runs/{made}"))
    if run.home is not None:
        facts.append(Fact("journal with", run.home.name, href="/agents"))
    return facts
