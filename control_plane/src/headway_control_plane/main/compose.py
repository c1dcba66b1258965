"""Puts the control plane together: the one place that knows every part and what each is made from."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from headway_control_plane.clock import Clock, SystemClock
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.policy import Policy
from headway_control_plane.ids import IdSource, Uuid7Source
from headway_control_plane.log.committer import Committer
from headway_control_plane.main.access import LocalAccess, Stores
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
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
# What creating a workspace, a pool and credentials takes.
BOOTSTRAP_ROLES = (Role.APP, Role.COMMITTER, Role.AUTH, Role.MAINTENANCE)


@dataclass(frozen=True, slots=True)
class Sources:
    """Time, ids and randomness of the process."""

    clock: Clock
    ids: IdSource
    entropy: Callable[[int], bytes]
    random: random.Random

    @classmethod
    def real(cls) -> "Sources":
        clock = SystemClock()
        return cls(clock, Uuid7Source(clock, os.urandom), os.urandom, random.SystemRandom())


@asynccontextmanager
async def control_plane(settings: Settings) -> AsyncIterator[UntilBroken]:
    """Run everything that one replica runs; what was entered last leaves first.

    Yields a function that waits for as long as all of it is whole, and raises what broke.
    """
    sources = Sources.real()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, SERVING_ROLES))
        await stack.enter_async_context(make_log(database, settings, sources))
        yield asyncio.Event().wait


def local_access(settings: Settings) -> LocalAccess:
    """Return what hands out the ways into this machine's own control plane."""
    sources = Sources.real()

    @asynccontextmanager
    async def open_stores() -> AsyncIterator[Stores]:
        async with (
            open_database(settings, BOOTSTRAP_ROLES) as database,
            make_log(database, settings, sources) as log,
        ):
            yield Stores(log, RowCatalogue(Reads(database)), CredentialStore(database))

    return LocalAccess(open_stores, clock=sources.clock, ids=sources.ids, entropy=sources.entropy)


def open_database(settings: Settings, roles: tuple[Role, ...]) -> Database:
    options = PoolOptions(
        max_size=settings.pool_size, transaction_pooler=settings.transaction_pooler
    )
    return Database(settings.database_url, roles, options)


def make_log(database: Database, settings: Settings, sources: Sources) -> Committer:
    return Committer(
        database,
        clock=sources.clock,
        ids=sources.ids,
        entropy=sources.entropy,
        random=sources.random.random,
        policy=make_policy(settings),
    )


def make_policy(settings: Settings) -> Policy:
    return Policy(
        lease_ttl=timedelta(seconds=settings.lease_ttl),
        renew_interval=timedelta(seconds=settings.renew_interval),
        reassign_after=timedelta(seconds=settings.reassign_after),
    )
