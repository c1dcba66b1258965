"""The gRPC server of a process: built from its parts, started, drained, stopped."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Self
from uuid import UUID

import grpc
import grpc.aio

from headway_control_plane.application.credentials import Credentials
from headway_control_plane.application.ports import Hints, Log
from headway_control_plane.clock import Clock
from headway_control_plane.db.pool import Database
from headway_control_plane.grpc_api.auth import Authenticator
from headway_control_plane.grpc_api.delivery import Delivery
from headway_control_plane.grpc_api.handshake import Handshake
from headway_control_plane.grpc_api.intake import Intake
from headway_control_plane.grpc_api.methods import serve
from headway_control_plane.grpc_api.registry import Registry
from headway_control_plane.grpc_api.renewals import Renewals
from headway_control_plane.grpc_api.service import AgentService
from headway_control_plane.grpc_api.settings import AgentServerSettings
from headway_control_plane.grpc_api.store import SessionStore
from headway_control_plane.grpc_api.stream import Services
from headway_control_plane.ids import IdSource

_KEEPALIVE_MS = 30_000
_KEEPALIVE_TIMEOUT_MS = 10_000
_LEAST_PING_INTERVAL_MS = 15_000


class Unprotected(Exception):
    """The address would be served in clear text to other machines."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"Agents must not be served without TLS on {address}: their assertions and data would travel in clear text. "
            "Give a certificate and key, listen on 127.0.0.1, or say that a proxy in front does TLS."
        )
        self.address = address


class AgentServer:
    """Serves agents on one address. `delivery` is work for a service; its wake is wired by `on_wake`."""

    def __init__(
        self,
        database: Database,
        log: Log,
        credentials: Credentials,
        clock: Clock,
        ids: IdSource,
        random: Random,
        settings: AgentServerSettings,
        *,
        replica: UUID,
        alone: Callable[[], bool] = lambda: True,
        hints: Hints | None = None,
    ) -> None:
        store = SessionStore(database)
        self._settings = settings
        self._log = log
        self._hints = hints
        self._wake: Callable[[], None] = lambda: None
        self._authenticator = Authenticator(database, clock, keep=settings.key_cache)
        self._registry = Registry()
        self._renewals = Renewals(
            store, ttl=settings.policy.lease_ttl, window=settings.renew_window
        )
        self.delivery = Delivery(
            store,
            self._registry,
            clock,
            settings,
            replica=replica,
            alone=alone,
            wake=self._look_soon,
            revoked=self._authenticator.forget,
        )
        services = Services(
            log=log,
            clock=clock,
            settings=settings,
            replica=replica,
            registry=self._registry,
            handshake=Handshake(log, store, self._renewals, settings, replica=replica),
            renewals=self._renewals,
            intake=Intake(log),
            delivery=self.delivery,
        )
        self._service = AgentService(services, self._authenticator, credentials, store, ids, random)
        self._server: grpc.aio.Server | None = None
        self._unsubscribe: list[Callable[[], None]] = []
        self.port = 0

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Name what makes the delivery look soon: the wake of the service that runs it."""
        self._wake = wake

    def _look_soon(self) -> None:
        self._wake()

    @property
    def open_streams(self) -> int:
        return self._service.open_streams

    async def start(self) -> None:
        """Listen. With port 0 in the address the system chooses; `port` tells which."""
        if self._server is not None:
            return
        server = grpc.aio.server(options=_options(self._settings))
        serve(self._service, server)
        self.port = _bind(server, self._settings)
        self._unsubscribe.append(self._log.on_commit(self.delivery.on_commit))
        if self._hints is not None:
            self._unsubscribe.append(self._hints.on_remote_hint(self.delivery.on_hint))
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Ask the agents to move, wait for them for the drain's grace, then cut the rest."""
        server, self._server = self._server, None
        if server is None:
            return
        self._service.drain(self._settings.drain_grace / 2)
        # Refuses new calls at once and cancels what is left after the grace.
        await server.stop(self._settings.drain_grace.total_seconds())
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        await self._renewals.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def _options(settings: AgentServerSettings) -> list[tuple[str, int]]:
    """Agents ping each 30 s even when nothing else travels; without these the server would take that for an attack."""
    most = settings.limits.message_bytes
    return [
        ("grpc.max_receive_message_length", most),
        ("grpc.max_send_message_length", most),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_MS),
        ("grpc.http2.max_pings_without_data", 0),
        # Two replicas on one port would share it silently; a second one must fail instead.
        ("grpc.so_reuseport", 0),
    ]


def _bind(server: grpc.aio.Server, settings: AgentServerSettings) -> int:
    tls = settings.tls
    if tls is not None:
        credentials = grpc.ssl_server_credentials([(tls.private_key, tls.certificate)])
        return server.add_secure_port(settings.address, credentials)
    if not settings.behind_tls_proxy and not is_loopback(settings.address):
        raise Unprotected(settings.address)
    return server.add_insecure_port(settings.address)


def is_loopback(address: str) -> bool:
    """Whether an address host:port (or a Unix socket) can be reached from this machine alone."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
