"""The database and the log, made from settings: what serving and bootstrapping have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.policy import Policy
from headway_control_plane.log.committer import Committer
from headway_control_plane.main.access import LocalAccess, Stores
from headway_control_plane.main.sources import Sources
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
from headway_control_plane.settings import Settings

# What creating a workspace, a pool and credentials takes.
_BOOTSTRAP_ROLES = (Role.APP, Role.COMMITTER, Role.AUTH, Role.MAINTENANCE)


def local_access(settings: Settings) -> LocalAccess:
    """Return what hands out the ways into this machine's own control plane."""
    sources = Sources.real()

    @asynccontextmanager
    async def open_stores() -> AsyncIterator[Stores]:
        async with (
            open_database(settings, _BOOTSTRAP_ROLES) as database,
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
        reconnect_grace=timedelta(seconds=settings.reconnect_cap),
        reassign_after=timedelta(seconds=settings.reassign_after),
        start_timeout=timedelta(seconds=settings.start_timeout),
    )
