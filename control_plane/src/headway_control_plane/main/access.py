"""The ways in for a laptop's own people and agent, made by the use cases that make them for everybody."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from headway_control_plane.application.api_keys import issue_api_key, verify_api_key
from headway_control_plane.application.bootstrap import Bootstrapped, bootstrap
from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.create_pool import DATA_CLASSES
from headway_control_plane.application.credentials import Credentials, Entropy
from headway_control_plane.application.enrolment import issue_enrolment_token
from headway_control_plane.application.errors import NotAuthenticated
from headway_control_plane.application.ports import Log
from headway_control_plane.clock import Clock
from headway_control_plane.ids import IdSource

WORKSPACE = "default"
POOL = "local"
_KEY_NAME = "headway up"


@dataclass(frozen=True, slots=True)
class Stores:
    """What the use cases need of a database."""

    log: Log
    catalogue: Catalogue
    credentials: Credentials


class LocalAccess:
    """Makes sure of the workspace `default` and the pool `local`, and hands out the ways in. Harmless to repeat.

    The stores are opened for each call: calls are rare, and the database restarts now and then.
    """

    def __init__(
        self,
        open_stores: Callable[[], AbstractAsyncContextManager[Stores]],
        *,
        clock: Clock,
        ids: IdSource,
        entropy: Entropy,
    ) -> None:
        self._open_stores = open_stores
        self._clock = clock
        self._ids = ids
        self._entropy = entropy

    async def api_token(self, known: str | None) -> str:
        """Return a token for the REST API: the known one while it works, else a new one."""
        async with self._open_stores() as stores:
            made = await self._make_sure(stores)
            if known is not None and await self._works(stores, known, made.workspace.ws):
                return known
            issued = await issue_api_key(
                stores.credentials,
                self._entropy,
                self._clock,
                made.workspace.ws,
                name=_KEY_NAME,
                lives=None,
            )
            return issued.text

    async def enrolment_token(self) -> str:
        """Return a short-lived token with which one agent may enrol into the pool `local`."""
        async with self._open_stores() as stores:
            made = await self._make_sure(stores)
            issued = await issue_enrolment_token(
                stores.credentials,
                stores.catalogue,
                self._entropy,
                self._clock,
                made.workspace.ws,
                pool=POOL,
            )
            return issued.text

    async def _make_sure(self, stores: Stores) -> Bootstrapped:
        # The pool of this machine permits everything: nothing that its agent sends leaves the machine.
        return await bootstrap(
            stores.log,
            stores.catalogue,
            self._ids,
            workspace=WORKSPACE,
            pool=POOL,
            permits=DATA_CLASSES,
        )

    async def _works(self, stores: Stores, token: str, ws: int) -> bool:
        try:
            return (await verify_api_key(stores.credentials, self._clock, token)).ws == ws
        except NotAuthenticated:
            return False
