"""Make the run that another run asks for: checked as `POST /runs` checks, under the id that its call gives it. See adr/0006."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.create_run import ParentCall, RunRequest, create_run
from headway_control_plane.application.errors import Missing, UseCaseError
from headway_control_plane.application.json_values import encode, read_foreign
from headway_control_plane.application.ports import Log
from headway_control_plane.domain.commands import AnswerRun
from headway_control_plane.domain.errors import InvalidState, NotFound, Refused
from headway_control_plane.domain.run.children import DEEPEST, is_child_id
from headway_control_plane.domain.streams import Blob


@dataclass(frozen=True, slots=True)
class WantedRun:
    """What a run asks for. `deployment` is empty where its name is withheld and nothing has it; `parameters` and `labels` are JSON, None where its pool withholds them or they were erased.

    `depth`: how many runs stand above it. `is_listened_to`: the parent waits for the answer at this moment. `is_made`: the run is there. `fence`: the parent's.
    """

    parent: UUID
    call: bytes
    run: UUID
    deployment: str
    has_parameters: bool
    parameters: bytes | None
    labels: bytes | None
    due_at: datetime | None
    waited: bool
    outlives: bool
    priority: int
    parent_status: str
    depth: int
    is_listened_to: bool
    is_made: bool
    fence: int
    asked_before: Sequence[tuple[UUID, bytes, str]] = ()
    """Other calls that asked for the same run, of this run or of those that it was made from; and why theirs was refused."""

    @property
    def is_first(self) -> bool:
        """Whether it is this call that the run is made for; else it takes one that was asked for before."""
        return is_child_id(self.run, self.parent, self.call)

    @property
    def is_ended_with_parent(self) -> bool:
        cancelled = self.parent_status in ("cancelling", "cancelled")
        return cancelled and self.waited and not self.outlives


class NotAllowed(UseCaseError):
    """The wish could be understood, and is not granted for where it comes from."""

    code = "not_allowed"


class Withheld(UseCaseError):
    """The pool of the run that asks does not let out what the wish needs."""

    code = "withheld"


async def start_child(log: Log, catalogue: Catalogue, ws: int, wanted: WantedRun) -> bool:
    """Accept the run; again for the same wish changes nothing. Whether that is done: a call that takes a run waits for whoever is to make it.

    Raises:
        UseCaseError, Refused: There will be no such run.
    """
    if not wanted.is_first:
        return _is_there(wanted)
    if wanted.is_ended_with_parent:
        raise NotAllowed("The run that asked for it was cancelled.")
    if wanted.depth >= DEEPEST:
        raise NotAllowed(
            f"{DEEPEST} runs stand above this one, each started by the next; that is the limit.",
            hint="A flow that starts its own deployment needs an end of its own.",
        )
    request = _request(wanted)
    await create_run(
        log,
        catalogue,
        lambda: wanted.run,
        ws,
        actor=f"run/{wanted.parent}",
        request=request,
        parent=ParentCall(wanted.parent, wanted.call),
    )
    return True


def _is_there(wanted: WantedRun) -> bool:
    first = [
        refused
        for parent, call, refused in wanted.asked_before
        if is_child_id(wanted.run, parent, call)
    ]
    if not first:
        raise NotAllowed(
            "The call names a run that neither this run nor one that it was made from has asked for."
        )
    if first[0]:
        raise NotAllowed(
            f"The run was asked for before, and refused: {first[0]}.",
            hint="Retry this step: it asks for a new run then.",
        )
    return wanted.is_made


async def tell_refusal(log: Log, ws: int, wanted: WantedRun, error: Exception) -> bool:
    """Answer the call with why there is no run; whether it waits for that by now."""
    if not wanted.is_listened_to:
        return False
    value = Blob.of(encode({"refused": _told(error)}))
    try:
        await log.execute(ws, AnswerRun(wanted.parent, wanted.call, value), actor="system")
    except (InvalidState, NotFound):
        return False  # it was cancelled or woken meanwhile; looked at again
    return True


def refusal_code(error: Exception) -> str:
    return str(getattr(error, "code", "refused"))


def refusal_told(error: Exception) -> bytes:
    """What pages say of it, JSON. Of parameters it names those that are wrong, not what is wrong with them: that may hold their values."""
    told = _told(error)
    named = [path for path, _ in told["problems"]]
    return encode({"message": told["message"], "hint": told["hint"], "problems": named})


def _told(error: Exception) -> Mapping[str, Any]:
    if isinstance(error, UseCaseError):
        problems = [[problem.path, problem.message] for problem in error.problems[:20]]
        return {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "problems": problems,
        }
    message = error.message if isinstance(error, Refused) else str(error)
    return {"code": refusal_code(error), "message": message, "hint": "", "problems": []}


def _request(wanted: WantedRun) -> RunRequest:
    if not wanted.deployment:
        raise Missing(
            "There is no such deployment in this workspace.",
            hint="List them with: headway deployments ls; make one with: headway deploy MODULE:FLOW",
        )
    if wanted.has_parameters and wanted.parameters is None:
        raise Withheld(
            "The pool of this run does not let parameters out, so the other run cannot get any.",
            hint="Permit `parameters` for the pool, or start the deployment without parameters.",
        )
    labels = _object(wanted.labels)
    name, tags = labels.get("name"), labels.get("tags")
    return RunRequest(
        deployment=wanted.deployment,
        parameters=_object(wanted.parameters),
        name=name if isinstance(name, str) else "",
        tags=[tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else (),
        priority=wanted.priority,
        due_at=wanted.due_at,
    )


def _object(content: bytes | None) -> dict[str, Any]:
    """It comes from an agent: what is no object counts as an empty one, which the deployment's schema then judges."""
    try:
        value = read_foreign(content or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
