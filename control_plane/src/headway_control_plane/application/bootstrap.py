"""Bootstrap: a workspace with its first pool. Its first key is issued like any other (`api_keys`)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from headway_control_plane.application.catalogue import Catalogue, NamedPool, require_pool
from headway_control_plane.application.create_pool import NEW_POOL_PERMITS, create_pool
from headway_control_plane.application.ports import Log, Workspace
from headway_control_plane.application.words import require_none, slug_problems
from headway_control_plane.domain.errors import AlreadyExists
from headway_control_plane.ids import IdSource

ACTOR = "bootstrap"


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    workspace: Workspace
    pool: NamedPool


async def bootstrap(
    log: Log,
    catalogue: Catalogue,
    ids: IdSource,
    *,
    workspace: str,
    pool: str,
    permits: Sequence[str] = NEW_POOL_PERMITS,
) -> Bootstrapped:
    """Make sure that a workspace and a pool of these names exist. Running it again changes nothing."""
    require_none([*slug_problems("workspace", workspace), *slug_problems("pool", pool)])
    found = await log.found(workspace, actor=ACTOR)
    if await catalogue.pool(found.ws, pool) is None:
        # Should another bootstrap be faster: what matters is that the pool exists.
        with suppress(AlreadyExists):
            await create_pool(log, ids, found.ws, actor=ACTOR, name=pool, permits=permits)
    return Bootstrapped(found, await require_pool(catalogue, found.ws, pool))
