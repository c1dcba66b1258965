"""Create a run. Everything that can be wrong with it is found before it is accepted."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue, DeployedFlow, require_deployment
from headway_control_plane.application.errors import Problem, UseCaseError
from headway_control_plane.application.json_values import canonical, encode
from headway_control_plane.application.parameters import merge_parameters
from headway_control_plane.application.ports import Committed, Cursor, Dedupe, Log
from headway_control_plane.application.words import require_none, tag_problems, text_problems
from headway_control_plane.domain.commands import CreateRun
from headway_control_plane.domain.errors import Conflict, NotFound
from headway_control_plane.domain.run.events import RunCreated
from headway_control_plane.domain.run.state import Fork
from headway_control_plane.domain.streams import Blob
from headway_control_plane.ids import IdSource

# How often the deployment may change under us before we give up.
_TRIES = 3
# What every part can hold and read again, in whatever zone: PostgreSQL knows years that Python does not.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """`deployment` is its id or name; no `due_at` means now; a name is made up when there is none; `tags` come besides the deployment's."""

    deployment: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    tags: Sequence[str] = ()
    priority: int = 3
    due_at: datetime | None = None

    @property
    def hash(self) -> bytes:
        """Tell this request from another one that is sent with the same idempotency key."""
        due = self.due_at.isoformat() if self.due_at else None
        parts = [self.deployment, self.parameters, self.name, list(self.tags), self.priority, due]
        return hashlib.sha256(canonical(parts)).digest()


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as it was accepted, with the names that belong to it."""

    run: UUID
    event: RunCreated
    recorded_at: datetime
    deployment_name: str
    pool_name: str


@dataclass(frozen=True, slots=True)
class ForkOf:
    """The run that another is made from, and what of its journal counts no more."""

    run: UUID
    cut: Fork


@dataclass(frozen=True, slots=True)
class ParentCall:
    """The run that asks for another, and its call."""

    run: UUID
    call: bytes


@dataclass(frozen=True, slots=True)
class RunAccepted:
    """`new` is None when the idempotency key was seen before and this is the run of then. `parameters` are those of the request."""

    run: UUID
    cursor: Cursor
    new: NewRun | None
    parameters: Blob


async def create_run(
    log: Log,
    catalogue: Catalogue,
    ids: IdSource,
    ws: int,
    *,
    actor: str,
    request: RunRequest,
    idempotency_key: str | None = None,
    traceparent: str = "",
    fork: ForkOf | None = None,
    parent: ParentCall | None = None,
) -> RunAccepted:
    """Accept a run, or the same run again for the same idempotency key; `fork`: made from another, `parent`: asked for by another."""
    require_none(_problems(request, idempotency_key, is_fork=fork is not None))
    run = ids()
    dedupe = _dedupe(request, idempotency_key, run)
    tries = 0
    while True:
        tries += 1
        deployment, parameters = await _check(catalogue, ws, request, remembered=tries == 1)
        command = _command(run, deployment, parameters, request)
        if fork is not None:
            command = replace(command, forked_from=fork.run, fork=fork.cut)
        if parent is not None:
            command = replace(command, parent_run=parent.run, parent_call=parent.call)
        try:
            done = await log.execute(
                ws, command, actor=actor, traceparent=traceparent, dedupe=dedupe
            )
        except (Conflict, NotFound):
            # The deployment was changed after it was looked up: check against the new one.
            if tries == _TRIES:
                raise
            continue
        if done.repeated and done.response is not None:
            run = UUID(done.response["run"])
        new = _new_run(run, done, deployment)
        return RunAccepted(run, done.cursor, new, command.parameters)


async def _check(
    catalogue: Catalogue, ws: int, request: RunRequest, *, remembered: bool
) -> tuple[DeployedFlow, bytes]:
    """Find the deployment and merge the parameters with its defaults.

    A remembered deployment may accept, for the command names its version; what it would refuse is checked against the
    present one.
    """
    deployment = await require_deployment(catalogue, ws, request.deployment, remembered=remembered)
    try:
        return deployment, merge_parameters(
            deployment.name, deployment.parameter_schema, deployment.defaults, request.parameters
        )
    except UseCaseError:
        if not remembered:
            raise
    return await _check(catalogue, ws, request, remembered=False)


def _command(
    run: UUID, deployment: DeployedFlow, parameters: bytes, request: RunRequest
) -> CreateRun:
    tags = list(dict.fromkeys([*deployment.tags, *request.tags]))
    labels = Blob.of(encode({"name": request.name or _name_of(run), "tags": tags}))
    return CreateRun(
        run=run,
        deployment=deployment.deployment,
        deployment_version=deployment.version,
        parameters=Blob.of(parameters),
        labels=labels,
        priority=request.priority,
        due_at=request.due_at,
    )


def _new_run(run: UUID, done: Committed, deployment: DeployedFlow) -> NewRun | None:
    for decided in done.decided:
        if isinstance(decided.event, RunCreated) and done.recorded_at is not None:
            names = deployment.name, deployment.pool_name
            return NewRun(run, decided.event, done.recorded_at, *names)
    return None


def _dedupe(request: RunRequest, key: str | None, run: UUID) -> Dedupe | None:
    if key is None:
        return None
    return Dedupe(f"create run {key}", request.hash, {"run": str(run)})


def _name_of(run: UUID) -> str:
    """Give a short name to a run without one; the tail of a UUIDv7 is its random part."""
    return f"run-{run.hex[-8:]}"


def _problems(request: RunRequest, idempotency_key: str | None, *, is_fork: bool) -> list[Problem]:
    problems = [*text_problems("name", request.name)]
    if not is_fork:  # it has those of its source, which with those of a deployment may be more than one may ask for
        problems += tag_problems("tags", request.tags)
    if not 1 <= request.priority <= 5:
        problems.append(Problem("priority", "must be 1 (first) to 5 (last)"))
    if request.due_at is not None:
        problems += _instant_problems("due_at", request.due_at)
    if idempotency_key is not None and not _is_key(idempotency_key):
        problems.append(Problem("Idempotency-Key", "must be 1 to 200 printable ASCII characters"))
    return problems


def _instant_problems(path: str, instant: datetime) -> Iterator[Problem]:
    if instant.tzinfo is None:
        yield Problem(path, "needs a zone, for example 2026-11-22T08:00:00Z")
    elif not _EARLIEST <= instant < _LATEST:
        yield Problem(path, "must lie between the years 1970 and 9998")


def _is_key(key: str) -> bool:
    return 1 <= len(key) <= 200 and key.isascii() and key.isprintable()
