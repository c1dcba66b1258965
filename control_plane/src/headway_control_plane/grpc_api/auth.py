"""Who is calling: an agent's assertion against its public key, which is looked up in the database and kept for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from headway_control_plane.clock import Clock
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.grpc_api.assertion import (
    BadAssertion,
    ReplayGuard,
    bearer,
    claimed_agent,
    verify,
)

_SQL = load_queries("headway_control_plane.grpc_api", "queries.sql")
_MOST_CACHED = 50_000


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """An enrolled agent, as its row says."""

    agent: UUID
    ws: int
    workspace: UUID
    shard: int
    pool: UUID
    name: str
    public_key: bytes
    revoked_at: datetime | None

    @property
    def actor(self) -> str:
        return f"agent/{self.agent}"


class Authenticator:
    """Checks assertions. A cached key is trusted for `keep`; a revocation noticed in this process takes effect at once."""

    def __init__(self, database: Database, clock: Clock, *, keep: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep.total_seconds()
        self._replays = ReplayGuard()
        self._cache: dict[UUID, tuple[float, AgentIdentity]] = {}

    async def authenticate(self, authorization: str | bytes | None) -> AgentIdentity:
        """Return the agent that signed, or raise BadAssertion."""
        token = bearer(authorization)
        identity = await self._identity(claimed_agent(token))
        if identity is None:
            raise BadAssertion("No such agent. Enrol it with a new token: headway agent enrol.")
        now = self._clock.now().timestamp()
        claims = verify(token, identity.public_key, now)
        # Said only to whoever holds the key.
        if identity.revoked_at is not None:
            raise BadAssertion(
                "The agent was revoked. Enrol it with a new token: headway agent enrol."
            )
        self._replays.admit(claims, now)
        return identity

    def forget(self, agent: UUID) -> None:
        """Look this agent up again at its next call."""
        self._cache.pop(agent, None)

    async def _identity(self, agent: UUID) -> AgentIdentity | None:
        now = self._clock.monotonic()
        cached = self._cache.get(agent)
        if cached is not None and cached[0] > now:
            return cached[1]
        async with self._database.statements(Role.AUTH) as connection:
            cursor = await connection.execute(_SQL["find_agent"], {"agent": agent})
            row = await cursor.fetchone()
        if row is None:
            return None
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        identity = AgentIdentity(*row)
        self._cache[agent] = (now + self._keep, identity)
        return identity
