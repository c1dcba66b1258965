"""Puts the control plane together: the one place that knows every part and what each is made from."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.db.roles import Role
from headway_control_plane.settings import Settings

UntilBroken = Callable[[], Awaitable[object]]
SERVING_ROLES = (
    Role.APP,
    Role.COMMITTER,
    Role.PROJECTOR,
    Role.DISPATCHER,
    Role.AUTH,
    Role.MAINTENANCE,
)


@asynccontextmanager
async def control_plane(settings: Settings) -> AsyncIterator[UntilBroken]:
    """Run everything that one replica runs; what was entered last leaves first.

    Yields a function that waits for as long as all of it is whole, and raises what broke.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            Database(settings.database_url, SERVING_ROLES, pool_options(settings))
        )
        yield asyncio.Event().wait


def pool_options(settings: Settings) -> PoolOptions:
    return PoolOptions(max_size=settings.pool_size, transaction_pooler=settings.transaction_pooler)
