"""Deploy: declare a deployment. What already is as declared appends nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue, require_pool
from headway_control_plane.application.errors import Problem, TooLarge
from headway_control_plane.application.json_values import encode, problems_of
from headway_control_plane.application.parameters import MAX_BYTES, check_schema
from headway_control_plane.application.ports import Cursor, Log
from headway_control_plane.application.words import (
    require_none,
    slug_problems,
    tag_problems,
    text_problems,
)
from headway_control_plane.domain.commands import Deploy
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.errors import AlreadyExists
from headway_control_plane.domain.run.events import Isolation, OnLost
from headway_control_plane.domain.streams import Blob
from headway_control_plane.ids import IdSource

MAX_RETRIES = 1_000
MAX_DELAY_MS = 7 * 24 * 3_600_000
MAX_RUNS, MOST_RUNS = 1_000, 1_000_000
MAX_MEMORY_MB, MOST_MEMORY_MB = 1_024, 1_048_576
"""What a process that runs share may hold, if nothing is said, and the most that can be said."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a deployment shall be. `defaults` are merged under a run's parameters."""

    name: str
    flow: str
    pool: str
    environment: str
    entrypoint: str
    code_hash: str = ""
    parameter_schema: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    tags: Sequence[str] = ()
    retries: int = 0
    retry_delay_ms: int = 0
    on_lost: OnLost = OnLost.RETRY
    cancel_grace_ms: int = 5_000
    kill_grace_ms: int = 5_000
    isolation: Isolation = Isolation.PROCESS
    max_runs_per_process: int | None = None  # None: MAX_RUNS, where runs share a process
    max_memory_mb: int | None = None
    flow_version: str = ""


@dataclass(frozen=True, slots=True)
class Deployed:
    deployment: UUID
    created: bool
    changed: bool
    cursor: Cursor


async def deploy(
    log: Log, catalogue: Catalogue, ids: IdSource, ws: int, *, actor: str, declaration: Declaration
) -> Deployed:
    """Create the deployment of this name, or change it to what is declared."""
    require_none(_problems(declaration))
    check_schema(declaration.parameter_schema)
    pool = await require_pool(catalogue, ws, declaration.pool)
    spec = _specify(declaration, pool.pool)
    try:
        return await _declare(log, catalogue, ids, ws, actor, spec)
    except AlreadyExists:
        # Another deploy created the name after we had looked; now it is there to be changed.
        return await _declare(log, catalogue, ids, ws, actor, spec)


async def _declare(
    log: Log,
    catalogue: Catalogue,
    ids: IdSource,
    ws: int,
    actor: str,
    spec: DeploymentDeployed,
) -> Deployed:
    found = await catalogue.deployment(ws, spec.name)
    deployment = found.deployment if found else ids()
    done = await log.execute(ws, Deploy(deployment, spec), actor=actor)
    return Deployed(deployment, found is None, bool(done.decided), done.cursor)


def _specify(declaration: Declaration, pool: UUID) -> DeploymentDeployed:
    return DeploymentDeployed(
        name=declaration.name,
        flow=declaration.flow,
        pool=pool,
        environment=declaration.environment,
        entrypoint=declaration.entrypoint,
        code_hash=declaration.code_hash,
        parameter_schema=_limited("parameter_schema", declaration.parameter_schema),
        defaults=_limited("defaults", declaration.defaults),
        description=declaration.description,
        tags=tuple(dict.fromkeys(declaration.tags)),
        retries=declaration.retries,
        retry_delay_ms=declaration.retry_delay_ms,
        on_lost=declaration.on_lost,
        cancel_grace_ms=declaration.cancel_grace_ms,
        kill_grace_ms=declaration.kill_grace_ms,
        **_isolation(declaration),
        flow_version=declaration.flow_version,
    )


def _isolation(declaration: Declaration) -> dict[str, Any]:
    """Nothing where each run has a process of its own: most have."""
    if declaration.isolation is not Isolation.REUSE:
        return {}
    return {
        "isolation": Isolation.REUSE,
        "max_runs_per_process": declaration.max_runs_per_process or MAX_RUNS,
        "max_memory_mb": declaration.max_memory_mb or MAX_MEMORY_MB,
    }


def _limited(what: str, value: Mapping[str, Any]) -> Blob:
    encoded = encode(value)
    if len(encoded) > MAX_BYTES:
        raise TooLarge(f"{what} takes {len(encoded):,} bytes; the limit is {MAX_BYTES:,}.")
    return Blob.of(encoded)


def _problems(declaration: Declaration) -> list[Problem]:
    problems = [
        *slug_problems("name", declaration.name),
        *slug_problems("environment", declaration.environment),
        *text_problems("flow", declaration.flow),
        *text_problems("entrypoint", declaration.entrypoint, 500),
        *text_problems("code_hash", declaration.code_hash),
        *text_problems("flow_version", declaration.flow_version),
        *tag_problems("tags", declaration.tags),
        *problems_of(declaration.description, "description"),
        *problems_of(declaration.defaults, "defaults"),
        *_range_problems(declaration),
        *_sharing_problems(declaration),
    ]
    if not declaration.flow:
        problems.append(Problem("flow", "is empty"))
    if len(declaration.description) > 10_000:
        problems.append(Problem("description", "is longer than 10,000 characters"))
    module, colon, name = declaration.entrypoint.partition(":")
    if not (colon and module and name):
        problems.append(Problem("entrypoint", "must read package.module:name"))
    return problems


def _range_problems(declaration: Declaration) -> list[Problem]:
    ranges = {
        "retries": (declaration.retries, MAX_RETRIES),
        "retry_delay_ms": (declaration.retry_delay_ms, MAX_DELAY_MS),
        "cancel_grace_ms": (declaration.cancel_grace_ms, MAX_DELAY_MS),
        "kill_grace_ms": (declaration.kill_grace_ms, MAX_DELAY_MS),
    }
    return [
        Problem(name, f"must be 0 to {most:,}")
        for name, (value, most) in ranges.items()
        if not 0 <= value <= most
    ]


def _sharing_problems(declaration: Declaration) -> list[Problem]:
    given = {
        "max_runs_per_process": (declaration.max_runs_per_process, MOST_RUNS),
        "max_memory_mb": (declaration.max_memory_mb, MOST_MEMORY_MB),
    }
    problems = [
        Problem(name, f"must be 1 to {most:,}")
        for name, (value, most) in given.items()
        if value is not None and not 1 <= value <= most
    ]
    if declaration.isolation is Isolation.REUSE:
        return problems
    return problems + [
        Problem(name, "is for isolation = reuse: every run has a process of its own")
        for name, (value, _) in given.items()
        if value is not None
    ]
