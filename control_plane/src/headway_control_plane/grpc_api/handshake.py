"""Opens a session: carries out the plan that a Hello leads to, and makes its Welcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.application.ports import Log
from headway_control_plane.domain.commands import CloseSession, Command
from headway_control_plane.domain.errors import Refused
from headway_control_plane.grpc_api.auth import AgentIdentity
from headway_control_plane.grpc_api.ledger import Ledger
from headway_control_plane.grpc_api.opening import (
    SUPERSEDED,
    AttemptRow,
    Opening,
    SessionRow,
    forgettable,
    resumes,
    settle,
)
from headway_control_plane.grpc_api.refusals import CUTS, CallRefused, new_epoch
from headway_control_plane.grpc_api.registry import Cut
from headway_control_plane.grpc_api.renewals import Renewals
from headway_control_plane.grpc_api.settings import AgentServerSettings
from headway_control_plane.grpc_api.store import SessionStore
from headway_control_plane.grpc_api.wire import (
    PROTOCOL,
    Hello,
    milliseconds,
    permitted_classes,
)

_log = logging.getLogger(__name__)
_TOGETHER = 100
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that stands. `forget` are runs that the agent holds in vain."""

    welcome: pb.SessionResponse
    forget: tuple[UUID, ...]


class Handshake:
    """Turns a Hello into commands and a Welcome. Every part may be repeated: a Hello that failed half way is simply said again."""

    def __init__(
        self,
        log: Log,
        store: SessionStore,
        renewals: Renewals,
        settings: AgentServerSettings,
        *,
        replica: UUID,
    ) -> None:
        self._execute = log.execute
        self._store = store
        self._renewals = renewals
        self._settings = settings
        self._replica = replica

    async def open(self, identity: AgentIdentity, hello: Hello, ledger: Ledger) -> Opened:
        """Open or resume the session and note in the ledger what the agent holds; raise CallRefused."""
        epoch = await self._store.epoch(identity)
        if hello.epoch not in (0, epoch):
            _log.warning("agent %s rests on epoch %d of the log", identity.agent, hello.epoch)
            raise CallRefused(new_epoch(epoch))
        opening = Opening(hello, identity.agent, self._replica, restored=epoch > 1)
        sessions = await self._store.sessions(identity, hello.session)
        takes_over = opening.takes_over(sessions)
        resumed = await self._open_session(identity, opening, sessions, takes_work=not takes_over)
        attempts = await self._settle(identity, opening, resumed=resumed)
        if takes_over:
            await self._open(identity, opening)
        _enter(ledger, opening, attempts)
        welcome = await self._welcome(identity, opening, attempts, resumed=resumed)
        return Opened(welcome, tuple(forgettable(opening, attempts)))

    async def _open_session(
        self,
        identity: AgentIdentity,
        opening: Opening,
        sessions: Sequence[SessionRow],
        *,
        takes_work: bool,
    ) -> bool:
        session = opening.hello.session
        if opening.is_late(sessions):
            raise CallRefused(CUTS[Cut.SUPERSEDED])
        present = next((row for row in sessions if row.session == session), None)
        if present is not None and (present.status == "closed" or present.agent != identity.agent):
            raise CallRefused(CUTS[Cut.SESSION_OVER])
        await self._open(identity, opening, takes_work=takes_work)
        if present is not None and await self._renewals.renew((identity.ws, session)) is None:
            raise CallRefused(CUTS[Cut.SESSION_OVER])
        return present is not None

    async def _open(
        self, identity: AgentIdentity, opening: Opening, *, takes_work: bool = True
    ) -> None:
        command = opening.open_command(takes_work=takes_work)
        try:
            await self._execute(identity.ws, command, actor=identity.actor)
        except Refused as refused:
            _log.info("session %s was refused: %s", command.session, refused.message)
            raise CallRefused(CUTS[Cut.SESSION_OVER]) from refused

    async def _settle(
        self, identity: AgentIdentity, opening: Opening, *, resumed: bool
    ) -> Sequence[AttemptRow]:
        """Carry the plan out until nothing is left to do: something may be granted to an older session while it is being closed.

        Sessions are read once ours stands: of two processes that open theirs at once, the one that is second sees the first.
        """
        sessions = await self._store.sessions(identity, opening.hello.session)
        attempts = await self._store.attempts(identity, opening.hello.held)
        for _ in range(_ROUNDS):
            if opening.is_late(sessions):
                await self._step_back(identity, opening, resumed=resumed)
            plan = settle(opening, sessions, attempts)
            if not plan:
                break
            for stage in plan:
                await self._together(identity, stage)
            sessions = await self._store.sessions(identity, opening.hello.session)
            attempts = await self._store.attempts(identity, opening.hello.held)
        return attempts

    async def _step_back(
        self, identity: AgentIdentity, opening: Opening, *, resumed: bool
    ) -> NoReturn:
        """A later process came meanwhile. What we opened goes; an older session of ours may hold attempts, which that process takes over."""
        if not resumed:
            await self._try(identity, CloseSession(opening.hello.session, SUPERSEDED))
        raise CallRefused(CUTS[Cut.SUPERSEDED])

    async def _together(self, identity: AgentIdentity, commands: Sequence[Command]) -> None:
        """Ask for all of them at once, so that they are committed together."""
        for start in range(0, len(commands), _TOGETHER):
            part = commands[start : start + _TOGETHER]
            await asyncio.gather(*(self._try(identity, command) for command in part))

    async def _try(self, identity: AgentIdentity, command: Command) -> None:
        """What is refused was overtaken by something else; the rows are read again and tell what holds."""
        try:
            await self._execute(identity.ws, command, actor=identity.actor)
        except Refused as refused:
            _log.info("%s was overtaken: %s", type(command).__name__, refused.message)

    async def _welcome(
        self,
        identity: AgentIdentity,
        opening: Opening,
        attempts: Sequence[AttemptRow],
        *,
        resumed: bool,
    ) -> pb.SessionResponse:
        policy, limits = self._settings.policy, self._settings.limits
        welcome = pb.Welcome(
            protocol=PROTOCOL,
            ttl_ms=milliseconds(policy.lease_ttl),
            renew_interval_ms=milliseconds(policy.renew_interval),
            attempts=resumes(opening, attempts),
            permits=permitted_classes(await self._store.permits(identity)),
            credit_facts=limits.credit_facts,
            credit_bytes=limits.credit_bytes,
            resumed=resumed,
        )
        return pb.SessionResponse(welcome=welcome)


def _enter(ledger: Ledger, opening: Opening, attempts: Sequence[AttemptRow]) -> None:
    """Note what the agent holds. Its open attempts that it does not hold are left out, so that they are assigned (again)."""
    held = {item.attempt for item in opening.hello.held}
    ours = [row for row in attempts if row.key in held]
    open_attempts = [row for row in ours if row.is_open and row.session == opening.hello.session]
    ledger.holds((row.key for row in ours), {row.run: row.fence for row in open_attempts})
    for row in open_attempts:
        if row.cancel:
            ledger.cancel(row.run)  # Welcome says it
