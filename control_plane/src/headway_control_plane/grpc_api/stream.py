"""One agent's stream: the adapter that feeds the pure core and carries out what it wishes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.application.ports import Log
from headway_control_plane.clock import Clock
from headway_control_plane.db.outages import OUTAGES
from headway_control_plane.domain.commands import CloseSession, Command, ResumeSession
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.grpc_api import core
from headway_control_plane.grpc_api.auth import AgentIdentity
from headway_control_plane.grpc_api.delivery import Delivery
from headway_control_plane.grpc_api.handshake import Handshake
from headway_control_plane.grpc_api.intake import Intake
from headway_control_plane.grpc_api.ledger import Ledger
from headway_control_plane.grpc_api.outbox import Outbox, Overflow
from headway_control_plane.grpc_api.refusals import (
    CUTS,
    DEFECT,
    ENDINGS,
    NO_HELLO,
    NOT_OPENED,
    OVERFLOW,
    UNREADABLE,
    CallRefused,
    Refusal,
    outage_refusal,
)
from headway_control_plane.grpc_api.registry import Cut, Registry, SessionKey
from headway_control_plane.grpc_api.renewals import Renewals
from headway_control_plane.grpc_api.settings import AgentServerSettings
from headway_control_plane.grpc_api.wire import Facts, Hello, Lines, milliseconds

_log = logging.getLogger(__name__)

_LONGEST_END = 5.0

Write = Callable[[pb.SessionResponse], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Services:
    """What all streams of a process share."""

    log: Log
    clock: Clock
    settings: AgentServerSettings
    replica: UUID
    registry: Registry
    handshake: Handshake
    renewals: Renewals
    intake: Intake
    delivery: Delivery


class AgentStream:
    """A live session. `run` returns when the agent ended the stream, and raises CallRefused when we do."""

    def __init__(
        self,
        services: Services,
        identity: AgentIdentity,
        rotation: core.Rotation,
        place: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`place`: for the work of opening; raises CallRefused when all are taken."""
        limits = services.settings.limits
        self._services = services
        self._core = core.Stream(limits, rotation)
        self._outbox = Outbox(limits.outbound_messages)
        self._refusal: asyncio.Future[Refusal] = asyncio.get_running_loop().create_future()
        self._work: set[asyncio.Task[None]] = set()
        self._line_order = asyncio.Lock()
        self._answered = asyncio.Event()
        self._place = place
        self._opened = asyncio.Event()  # Welcome was written
        self._unsaid: list[UUID] = []
        self._timer: asyncio.TimerHandle | None = None
        self._session: UUID | None = None
        self._slots = 0
        self.identity = identity
        self.ledger = Ledger()
        self.welcomed = False

    @property
    def key(self) -> SessionKey:
        assert self._session is not None, "a stream is entered after its Hello"
        return self.identity.ws, self._session

    async def run(self, requests: AsyncIterator[pb.SessionRequest | None], write: Write) -> None:
        """Serve the stream to its end."""
        patience = self._services.settings.hello_timeout.total_seconds()
        self._timer = asyncio.get_running_loop().call_later(patience, self._give_up)
        reader = asyncio.create_task(self._read(requests), name="agent stream reader")
        writer = asyncio.create_task(self._write(write), name="agent stream writer")
        try:
            await asyncio.wait((reader, writer, self._refusal), return_when=asyncio.FIRST_COMPLETED)
            if self._refusal.done():
                await self._take_leave(self._refusal.result())
            await (reader if reader.done() else writer)  # raises what broke it
        finally:
            self._timer.cancel()
            if self._session is not None:
                self._services.registry.remove(self)
            await _cancel(reader, writer, *self._work)

    # What others ask of a live session ----------------------------------------------------------------

    def deliver(self, message: pb.SessionResponse) -> None:
        self._outbox.deliver(message)

    def forget(self, run: UUID) -> None:
        self.ledger.forget(run)
        self._unsaid.append(run)
        if not self._core.batches:
            self._say_forget()

    def cut(self, why: Cut) -> None:
        # An agent that said Goodbye expects just that, whatever was still on its way.
        if not (self._core.leaving and why is Cut.SESSION_OVER):
            self._end(CUTS[why])

    def move_away(self, after: float) -> None:
        """Ask the agent to reconnect elsewhere: this process is about to end."""
        self._feed(core.MoveNow(after))

    # Reading and writing --------------------------------------------------------------------------------

    async def _read(self, requests: AsyncIterator[pb.SessionRequest | None]) -> None:
        async for message in requests:
            if message is None:
                self._end(UNREADABLE)
                break
            for effect in self._step(core.Received(message)):
                await self._carry_out(effect)
            if self._core.leaving or self._refusal.done():
                break
            await self._wait_for_room()
        # The agent ended in order: what it sent is still answered.
        if self._work:
            await asyncio.wait(self._work)
        await self._outbox.written()

    async def _write(self, write: Write) -> None:
        while True:
            message = await self._outbox.get()
            await write(message)
            if message.HasField("welcome"):
                self._opened.set()

    async def _wait_for_room(self) -> None:
        """Stop reading while much is unanswered; HTTP/2's own flow control then slows the agent down."""
        limits = self._core.limits
        while (
            len(self._core.batches) >= limits.unanswered_batches
            or len(self._work) >= limits.unanswered_messages
        ):
            self._answered.clear()
            await self._answered.wait()

    # Carrying out ---------------------------------------------------------------------------------------

    def _step(self, given: core.Input) -> core.Effects:
        self._core, effects = core.step(self._core, self._services.clock.monotonic(), given)
        return effects

    def _feed(self, given: core.Input) -> None:
        for effect in self._step(given):
            self._begin(effect)

    async def _carry_out(self, effect: core.Effect) -> None:
        """Opening, slots and leaving are done before the next message is read; the rest goes on beside the reading."""
        try:
            match effect:
                case core.Open():
                    await self._open(effect.hello)
                case core.SetSlots():
                    await self._set_slots(effect.slots)
                case core.Leave():
                    await self._execute(
                        CloseSession(self.key[1], effect.reason or "goodbye", effect.handover)
                    )
                case _:
                    self._begin(effect)
        except Refused as refused:
            _log.info("session %s: %s", self._session, refused.message)
            self._end(CUTS[Cut.SESSION_OVER])

    def _begin(self, effect: core.Effect) -> None:
        match effect:
            case core.Renew():
                self._start(self._renew(effect.id), repeated=True)
            case core.StoreFacts():
                self._start(self._store_facts(effect.facts))
            case core.StoreLines():
                self._start(self._store_lines(effect.lines))
            case core.AskToMove():
                drain = pb.Drain(reconnect_after_ms=int(effect.after * 1000))
                self._answer(pb.SessionResponse(drain=drain))
                if self._opened.is_set():
                    self._set_timer()
            case core.Close():
                self._end(Refusal(ENDINGS[effect.why], effect.message))
            case _:
                raise AssertionError(f"{type(effect).__name__} must be waited for")

    async def _open(self, hello: Hello) -> None:
        with self._place():
            await self._welcome(hello)
            # What is queued alone, an agent may wait for in vain: until it is written, the deadline of the opening holds.
            await self._opened.wait()
        if hello.takes_several:
            self._outbox.together_bytes = self._services.settings.limits.together_bytes
        self._set_timer()

    async def _welcome(self, hello: Hello) -> None:
        services = self._services
        self._session, self._slots = hello.session, hello.slots
        # Entered first: a stream that this session had here before ends now and can answer nothing more.
        if not services.registry.add(self):
            raise CallRefused(CUTS[Cut.SESSION_OVER])
        opened = await services.handshake.open(self.identity, hello, self.ledger)
        for run in self.ledger.open:
            services.registry.executes(self, run)
        self._answer(opened.welcome, urgent=True)
        self.welcomed = True
        for run in opened.forget:
            self.forget(run)
        # What was granted meanwhile, and what the agent was given once and never got.
        services.delivery.look_at(self)

    async def _set_slots(self, slots: int) -> None:
        self._slots = slots
        await self._execute(ResumeSession(self.key[1], self._services.replica, slots))

    async def _renew(self, number: int) -> None:
        services = self._services
        lease = await services.renewals.renew(self.key)
        if lease is None:
            self.cut(Cut.SESSION_OVER)
            return
        if lease.replica != services.replica:
            self._end(CUTS[Cut.MOVED])
            return
        if lease.status == SessionStatus.LOST:
            await self._execute(ResumeSession(self.key[1], services.replica, self._slots))
        policy = services.settings.policy
        renewed = pb.Renewed(
            id=number,
            ttl_ms=milliseconds(policy.lease_ttl),
            renew_interval_ms=milliseconds(policy.renew_interval),
        )
        self._answer(pb.SessionResponse(renewed=renewed), urgent=True)

    async def _store_facts(self, facts: Facts) -> None:
        answer = await self._services.intake.facts(self.identity, self.ledger, facts)
        self._answer(answer)
        self._feed(core.Answered(facts.id))
        self._say_forget()

    async def _store_lines(self, lines: Lines) -> None:
        # In order: a batch that overtook another would be refused for its first line.
        async with self._line_order:
            answer = await self._services.intake.lines(self.identity, self.ledger, lines)
        self._answer(answer)
        self._feed(core.LinesAnswered(len(lines.content)))

    async def _execute(self, command: Command) -> None:
        await self._services.log.execute(self.identity.ws, command, actor=self.identity.actor)

    def _say_forget(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        for run in unsaid:
            self.deliver(pb.SessionResponse(forget=pb.Forget(run=run.bytes)))

    # Ends -----------------------------------------------------------------------------------------------

    def _answer(self, message: pb.SessionResponse, *, urgent: bool = False) -> None:
        try:
            self._outbox.answer(message, urgent=urgent)
        except Overflow:
            self._end(OVERFLOW)

    def _start(self, work: Coroutine[None, None, None], *, repeated: bool = False) -> None:
        task = asyncio.create_task(self._guard(work, repeated=repeated), name="agent stream work")
        self._work.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._answered.set()

    async def _guard(self, work: Coroutine[None, None, None], *, repeated: bool) -> None:
        """Nothing that goes wrong with one message is lost, and none of it reaches another stream."""
        try:
            await work
        except OUTAGES as outage:
            _log.warning("session %s: %s", self._session, outage)
            if not repeated:
                # An agent waits for the answer to what it sent as long as the stream lasts; on the next it sends it again.
                self._end(outage_refusal(outage))
        except Refused as refused:
            _log.info("session %s: %s", self._session, refused.message)
            self.cut(Cut.SESSION_OVER)
        except Exception:  # noqa: BLE001 - a defect; logged, and the stream is closed
            _log.exception("session %s", self._session)
            self._end(DEFECT)

    async def _take_leave(self, refusal: Refusal) -> NoReturn:
        if refusal is CUTS[Cut.REVOKED]:
            # Its runs need not wait for the lease to run out.
            with suppress(Refused):  # it was never opened
                await self._execute(CloseSession(self.key[1], "revoked"))
        raise CallRefused(refusal)

    def _give_up(self) -> None:
        """Hello, opening and Welcome have one deadline together; behind it the agent had better dial again."""
        self._end(NO_HELLO if self._session is None else NOT_OPENED)

    def _end(self, refusal: Refusal) -> None:
        if not self._refusal.done():
            self._refusal.set_result(refusal)

    def _set_timer(self) -> None:
        """One timer a stream: for planned rotation, and for its end."""
        if self._timer is not None:
            self._timer.cancel()
        wait = core.wake_at(self._core) - self._services.clock.monotonic()
        self._timer = asyncio.get_running_loop().call_later(
            max(0.0, wait), self._feed, core.Ticked()
        )


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    # Their results were looked at, or are of no use to a stream that has ended.
    ended = asyncio.gather(*tasks, return_exceptions=True)
    # A statement on a connection that hangs does not end at once; the agent must not wait for it with us.
    _, late = await asyncio.wait({ended}, timeout=_LONGEST_END)
    if late:
        _log.error("work of an agent's stream does not end: %s", [t for t in tasks if not t.done()])
