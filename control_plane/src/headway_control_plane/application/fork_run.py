"""Make a run from another that has ended: what it would execute, and the run itself. See adr/0003."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.create_run import (
    ForkOf,
    RunAccepted,
    RunRequest,
    create_run,
)
from headway_control_plane.application.errors import InvalidRequest, Missing, Problem, UseCaseError
from headway_control_plane.application.ports import Log
from headway_control_plane.domain.fork import Calls, Plan, Verb, plan
from headway_control_plane.ids import IdSource


class ParametersGone(UseCaseError):
    """The parameters of the old run cannot be read any more."""

    code = "parameters_gone"


@dataclass(frozen=True, slots=True)
class Source:
    """A run that another can be made from. `parameters` None: erased. `calls`: of its whole line, as far as its home has them."""

    run: UUID
    deployment: UUID
    deployment_name: str
    parameters: bytes | None
    tags: Sequence[str]
    priority: int
    calls: Calls


class Sources(Protocol):
    """Reads runs with their calls; None: there is no such run. Waits until the calls are all there."""

    async def source(self, ws: int, run: UUID) -> Source | None: ...


@dataclass(frozen=True, slots=True)
class ForkWish:
    """`call` hexadecimal, for retry and rerun; `parameters` are merged over those of the old run."""

    verb: str
    call: str = ""
    parameters: Mapping[str, Any] | None = None


async def plan_fork(sources: Sources, ws: int, run: UUID, wish: ForkWish) -> Plan:
    """Say what the verb would execute and what it would keep."""
    return _plan(await _source(sources, ws, run), wish)


async def fork_run(
    log: Log,
    catalogue: Catalogue,
    sources: Sources,
    ids: IdSource,
    ws: int,
    run: UUID,
    *,
    actor: str,
    wish: ForkWish,
    idempotency_key: str | None = None,
    traceparent: str = "",
) -> RunAccepted:
    """Accept the run that does what `plan_fork` says."""
    source = await _source(sources, ws, run)
    cut = _plan(source, wish).cut
    if source.parameters is None:
        raise ParametersGone(
            "The parameters of this run were erased.",
            hint=f"Start a new run: headway run {source.deployment_name}",
        )
    request = RunRequest(
        deployment=str(source.deployment),
        parameters={**json.loads(source.parameters), **(wish.parameters or {})},
        tags=source.tags,
        priority=source.priority,
    )
    # One key stands for one wish: the same key for another verb or call is refused, not answered with the first run.
    key = (
        None if idempotency_key is None else f"{idempotency_key} {run.hex} {wish.verb} {wish.call}"
    )
    return await create_run(
        log,
        catalogue,
        ids,
        ws,
        actor=actor,
        request=request,
        idempotency_key=key,
        traceparent=traceparent,
        fork=ForkOf(run, cut),
    )


async def _source(sources: Sources, ws: int, run: UUID) -> Source:
    source = await sources.source(ws, run)
    if source is None:
        raise Missing(
            "There is no such run in this workspace.", hint="List runs with: headway runs ls"
        )
    return source


def _plan(source: Source, wish: ForkWish) -> Plan:
    problems = []
    if wish.verb not in set(Verb):
        problems.append(Problem("verb", f"must be one of {', '.join(Verb)}"))
    try:
        call = bytes.fromhex(wish.call)
    except ValueError:
        call = b""
        problems.append(Problem("call", "must be a call's key: 32 hexadecimal digits"))
    if not problems and (wish.verb == Verb.RESUME) == bool(call):
        needs = "takes no call" if wish.verb == Verb.RESUME else "needs a call"
        problems.append(Problem("call", f"{wish.verb} {needs}"))
    if problems:
        raise InvalidRequest("The request holds values that can't be accepted.", problems=problems)
    return plan(source.calls, Verb(wish.verb), call)
