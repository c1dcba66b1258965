"""Shapes of runs that are made from runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from headway_control_plane.domain.fork import CallFacts, Plan
from headway_control_plane.domain.run.state import Fork
from headway_control_plane.http_api.shapes import Input, Shape
from headway_control_plane.projections.wishes import Refusal

MOST_GROUPS = 1_000
"""Names are few; those that are made up for each call need not be told twice."""


class ForkInput(Input):
    """A wish for a run that goes on with another's journal."""

    verb: Literal["resume", "retry", "rerun"] = Field(
        description="resume: what has not completed; retry: one call; rerun: one call and what began after it."
    )
    call: str = Field(
        default="", max_length=64, description="The call that retry and rerun begin with."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Merged over the parameters of the run it is made from."
    )


class ForkShape(Shape):
    """How a run was made from another."""

    run: UUID = Field(description="The other run: that it was made from, or that was made from it.")
    verb: str
    call: str

    @classmethod
    def of(cls, run: UUID, fork: Fork) -> ForkShape:
        return cls(run=run, verb=fork.verb, call=fork.call.hex())


class RefusedRunShape(Shape):
    """A run that a call has asked for and does not get. A retry of that call asks again."""

    call: str
    deployment: str = Field(description="As it was asked for; empty where the pool withholds it.")
    code: str
    message: str
    hint: str
    problems: list[str] = Field(description="The parameters that do not fit.")

    @classmethod
    def of(cls, refusal: Refusal) -> RefusedRunShape:
        return cls(
            call=refusal.call.hex(),
            deployment=refusal.deployment,
            code=refusal.code,
            message=refusal.message,
            hint=refusal.hint,
            problems=list(refusal.problems),
        )


class PlannedCall(Shape):
    call: str
    parent: str
    kind: str
    name: str
    status: str = Field(description="Of the run as it is.")
    run: UUID | None = Field(
        default=None, description="The run of another deployment that the call has asked for."
    )
    run_state: str = Field(default="", description="Its state; `refused` where there is none.")
    note: str = Field(default="", description="What becomes of that run, in words.")

    @classmethod
    def of(cls, facts: CallFacts, plan: Plan) -> PlannedCall:
        asked = plan.runs.get(facts.call)
        return cls(
            call=facts.call.hex(),
            parent=facts.parent.hex(),
            kind=facts.kind,
            name=facts.name,
            status=facts.status,
            run=asked.run if asked else None,
            run_state=asked.state if asked else "",
            note=plan.note(facts.call),
        )


class PlannedGroup(Shape):
    """All of the list that have one name and stand in one state."""

    name: str
    status: str
    total: int
    call: str = Field(description="The first one's key.")


class PlannedCalls(Shape):
    """`calls` are the first ones, in the order in which they began; `groups` sum up all of them."""

    total: int
    calls: list[PlannedCall]
    groups: list[PlannedGroup]

    @classmethod
    def of(cls, calls: Sequence[CallFacts], plan: Plan, limit: int) -> PlannedCalls:
        listed = [PlannedCall.of(each, plan) for each in calls[:limit]]
        return cls(total=len(calls), calls=listed, groups=_groups(calls))


def _groups(calls: Sequence[CallFacts]) -> list[PlannedGroup]:
    alike: defaultdict[tuple[str, str], list[CallFacts]] = defaultdict(list)
    for each in calls:
        alike[each.name, each.status].append(each)
    return [
        PlannedGroup(name=name, status=status, total=len(some), call=some[0].call.hex())
        for (name, status), some in list(alike.items())[:MOST_GROUPS]
    ]


class PlanShape(Shape):
    """What a run made from this one would execute of the calls that are known, if the flow comes to them again."""

    executes: PlannedCalls
    attaches: PlannedCalls = Field(
        description="Have asked for a run of another deployment that is under way or completed: they take that run, and start none."
    )
    may: PlannedCalls = Field(
        description="Execute again only if they are given other values than before."
    )
    keeps: PlannedCalls = Field(description="Their results are taken from the journal.")

    @classmethod
    def of(cls, plan: Plan, limit: int) -> PlanShape:
        return cls(
            executes=PlannedCalls.of(plan.executes, plan, limit),
            attaches=PlannedCalls.of(plan.attaches, plan, limit),
            may=PlannedCalls.of(plan.may, plan, limit),
            keeps=PlannedCalls.of(plan.keeps, plan, limit),
        )
