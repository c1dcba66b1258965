"""The same wish for many runs: each is decided by itself, so one refusal leaves the others alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from headway_control_plane.application.cancel_run import cancel_run
from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.errors import UseCaseError
from headway_control_plane.application.fork_run import ForkWish, Sources, fork_run
from headway_control_plane.application.ports import Log, Unavailable
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.fork import Verb
from headway_control_plane.domain.run.state import TERMINAL, RunStatus
from headway_control_plane.ids import IdSource

MOST_RUNS = 100
"""Of one request."""
# A resumption reads the calls of its run's whole line; a cancellation reads nothing and is batched by the log.
_AT_ONCE = {"cancel": 32, "resume": 4}


class BulkAction(StrEnum):
    CANCEL = "cancel"
    RESUME = "resume"

    def applies_to(self, state: RunStatus) -> bool:
        """Whether it does anything to a run in this state; others are refused."""
        if self is BulkAction.RESUME:
            return state in TERMINAL and state is not RunStatus.COMPLETED
        return state not in TERMINAL


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run's wish. `made`: the run that goes on with it; `code` is empty where it was accepted."""

    run: UUID
    made: UUID | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Doing:
    """What the actions need, and who wants them. The same `key` resumes each run once."""

    log: Log
    catalogue: Catalogue
    sources: Sources
    ids: IdSource
    ws: int
    actor: str
    reason: str = ""
    key: str | None = None


async def act_on_runs(doing: Doing, action: BulkAction, runs: Sequence[UUID]) -> list[Outcome]:
    """Do it to each, several at once; return what became of them in this order, doubles left out."""
    act = {BulkAction.CANCEL: _cancel, BulkAction.RESUME: _resume}[action]
    turns = asyncio.Semaphore(_AT_ONCE[action])

    async def one(run: UUID) -> Outcome:
        async with turns:
            return await _outcome(act, doing, run)

    return list(await asyncio.gather(*(one(run) for run in dict.fromkeys(runs))))


async def _outcome(
    act: Callable[[Doing, UUID], Awaitable[UUID | None]], doing: Doing, run: UUID
) -> Outcome:
    try:
        return Outcome(run, await act(doing, run))
    except (Refused, UseCaseError) as refusal:
        return Outcome(run, code=refusal.code, message=refusal.message)
    except Unavailable as refusal:
        return Outcome(run, code="unavailable", message=str(refusal))


async def _cancel(doing: Doing, run: UUID) -> None:
    await cancel_run(doing.log, doing.ws, run, actor=doing.actor, reason=doing.reason)


async def _resume(doing: Doing, run: UUID) -> UUID:
    made = await fork_run(
        doing.log,
        doing.catalogue,
        doing.sources,
        doing.ids,
        doing.ws,
        run,
        actor=doing.actor,
        wish=ForkWish(Verb.RESUME),
        idempotency_key=doing.key,
    )
    return made.run
