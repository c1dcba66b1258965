"""Owns the stream: dials when the core says so, says Hello, and turns what comes down into inputs."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from headway_agent.connection import messages
from headway_agent.connection.encoder import Encoder
from headway_agent.connection.errors import Failure, Reaction
from headway_agent.connection.identity import Assertions
from headway_agent.connection.messages import Held
from headway_agent.connection.permits import permits_of
from headway_agent.connection.stream import Stream
from headway_agent.core import lines, resume, session
from headway_agent.loops.assignments import answer_of, assignment_of
from headway_agent.loops.faults import patiently
from headway_agent.loops.hub import Forget, Hub, Resume
from headway_agent.loops.outbox import Outbox
from headway_agent.loops.ports import Witnesses
from headway_agent.loops.waiting import wait_for
from headway_agent.runner.api import Answer, Assignment, AttemptKey
from headway_api.agent.v1 import agent_service_pb2 as wire
from headway_api.common.v1 import data_class_pb2 as classes

log = logging.getLogger(__name__)

Open = Callable[[], AbstractAsyncContextManager[Stream]]
PERMIT_NAMES: dict[int, str] = {number: name for name, number in classes.DataClass.items()}
PARTING_S = 2.0
"""How long the last words may take to leave."""
SETTLE_PAUSE_S = 0.05


@dataclass(eq=False)
class GivenUp(Exception):
    """We ended the stream ourselves."""

    reason: str


@dataclass(slots=True)
class Partly:
    """A grant of which so many answers follow."""

    assignment: Assignment
    follow: int
    answers: list[Answer] = field(default_factory=list)

    def whole(self) -> Assignment:
        return replace(self.assignment, answers=(*self.assignment.answers, *self.answers))


class SessionLoop:
    def __init__(
        self,
        hub: Hub,
        open_stream: Open,
        assertions: Assertions,
        witnesses: Witnesses,
        new_session: Callable[[], UUID],
    ) -> None:
        self._hub = hub
        self._open = open_stream
        self._assertions = assertions
        self._witnesses = witnesses
        self._new_session = new_session
        self._clock_corrected = False
        self._was_welcomed = False
        # Grants of this stream whose answers are still on their way.
        self._partly: dict[AttemptKey, Partly] = {}
        # Of the log that acknowledged what is closed here; 0 as long as nothing was acknowledged.
        self._epoch = 0

    async def run(self) -> None:
        """Returns when the core has ended; raises `Failure` when no repetition helps."""
        hub = self._hub
        witness = await self._witnesses.last()
        self._epoch = witness.epoch if witness else 0
        while True:
            await hub.dial.wait()
            hub.dial.clear()
            if hub.ended.is_set():
                return
            lost = await self._connection()
            if hub.ended.is_set():
                return
            hub.tell_reporting(resume.Lost())
            hub.tell_lines(lines.Lost())
            hub.tell_session(lost)

    async def _connection(self) -> session.Lost:
        """One stream from dial to end. What its end means for the next dial."""
        try:
            async with self._open() as stream:
                await self._converse(stream)
        except GivenUp as given_up:
            log.info("stream given up: %s", given_up.reason)
            return session.Lost(self._hub.random.random())
        except Failure as failure:
            if failure.epoch is not None:
                return await self._restored(failure, failure.epoch)
            return self._lost(failure)
        return session.Lost(self._hub.random.random())

    async def _restored(self, failure: Failure, epoch: int) -> session.Lost:
        """The log lost its newest events: everything that is still here is offered again, at once."""
        hub = self._hub
        log.warning("%s", failure)
        while not hub.noted.settled:
            # What the old epoch acknowledged must be written down first, or it would close again what is opened now.
            await wait_for(hub.ended, SETTLE_PAUSE_S)
        await patiently(hub.attempts.reopen)
        hub.restored()
        self._epoch = epoch
        return session.Lost(hub.random.random(), 0.0)

    def _lost(self, failure: Failure) -> session.Lost:
        fraction = self._hub.random.random()
        if failure.reaction is Reaction.CLOCK and failure.server_time_us is not None:
            self._assertions.correct(failure.server_time_us)
            log.warning("%s; assertions use the control plane's time from now on", failure)
            # At once, but not twice in a row: a clock that jumps about is paced like any failure.
            again, self._clock_corrected = self._clock_corrected, True
            return session.Lost(fraction, None if again else 0.0)
        self._clock_corrected = False
        if self._is_final(failure.reaction):
            raise failure
        log.warning("stream lost: %s", failure)
        if failure.session_over:
            self._hub.who = replace(self._hub.who, session=self._new_session())
        return session.Lost(fraction, failure.retry_after, failure.session_over)

    def _is_final(self, reaction: Reaction) -> bool:
        if reaction is Reaction.MISUNDERSTOOD:
            return not self._was_welcomed
        return reaction in (Reaction.REENROL, Reaction.EXIT)

    async def _converse(self, stream: Stream) -> None:
        hub = self._hub
        hub.outbox = outbox = Outbox()
        self._partly.clear()  # each stream brings them whole
        hub.close_asked.clear()
        # The runner's view first: Hello tells all that is held.
        hub.look()
        hello = await self._hello()
        sent_at = hub.clock.boottime()
        outbox.put_urgent(hello)
        reader = asyncio.create_task(self._read(stream, sent_at), name="read")
        writer = asyncio.create_task(self._write(stream, outbox), name="write")
        closer = asyncio.create_task(hub.close_asked.wait(), name="close")
        ender = asyncio.create_task(hub.ended.wait(), name="end")
        tasks: tuple[asyncio.Task[Any], ...] = (reader, writer, closer, ender)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if ender.done():
                # The control plane ends the stream once it has read our last words.
                await asyncio.wait({reader}, timeout=PARTING_S)
            elif closer.done():
                raise GivenUp(hub.close_reason)
            else:
                await (reader if reader.done() else writer)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hello(self) -> wire.SessionRequest:
        hub = self._hub
        held = [
            Held(h.key, h.last_seq, h.alive or h.state == "assigned") for h in hub.attempts.held()
        ]
        witness = await self._witnesses.last()
        slots = session.open_slots(hub.session)
        return messages.hello(hub.who, slots, held, witness, self._epoch)

    async def _write(self, stream: Stream, outbox: Outbox) -> None:
        while (message := await outbox.next()) is not None:
            await stream.send(message, self._hub.encoder.permits)
        await stream.finish()

    async def _read(self, stream: Stream, sent_at: float) -> None:
        async for message in stream.messages():
            # What came together is acted upon in one turn, and looked at once.
            several = message.several.messages if message.HasField("several") else (message,)
            try:
                for each in several:
                    self._heard(each, sent_at)
            except ValueError as error:
                # Another stream may bring it whole; and it is no reason to end what runs.
                text = "the control plane sent what can't be read"
                raise Failure(Reaction.RETRY, text, str(error)) from error

    def _heard(self, message: wire.SessionResponse, sent_at: float) -> None:
        hub = self._hub
        match message.WhichOneof("message"):
            case "welcome":
                self._welcomed(message.welcome, sent_at)
            case "renewed":
                said = message.renewed
                hub.tell_session(
                    session.Renewed(said.id, said.ttl_ms / 1_000, said.renew_interval_ms / 1_000)
                )
            case "assign" | "variables" | "answer":
                self._given(message)
            case "ack":
                self._acked(message.ack)
            case "log_ack":
                attempt = messages.attempt_of(message.log_ack.attempt)
                hub.tell_lines(lines.Acked(attempt, message.log_ack.last_line))
            case "cancel":
                cancel = message.cancel
                hub.cancel_asked(messages.attempt_of(cancel.attempt), cancel.reason)
            case "drain":
                hub.tell_session(session.MoveAsked(message.drain.reconnect_after_ms / 1_000))
            case "forget":
                hub.act(Forget(messages.run_of(message.forget.run)))
            case _:
                # A newer control plane says something that this version has no word for.
                log.info("message of an unknown kind ignored")

    def _given(self, message: wire.SessionResponse) -> None:
        if message.HasField("variables"):
            self._keep_variables(message.variables)
            return
        if message.HasField("answer"):
            self._keep_answer(message.answer)
            return
        try:
            assignment = assignment_of(message.assign, self._hub.encoder.permits)
        except ValueError as error:
            # It would come again with each stream: the run waits for its deadline instead, all others go on.
            log.warning("a grant can't be read and is not taken: %s", error)
        else:
            self._granted(assignment, message.assign.answers_follow)

    def _granted(self, assignment: Assignment, answers_follow: int) -> None:
        if answers_follow:
            self._partly[assignment.key] = Partly(assignment, answers_follow)
        else:
            self._hub.granted(assignment)

    def _keep_variables(self, variables: wire.Variables) -> None:
        values = {each.name: json.loads(each.value) for each in variables.entries}
        try:
            self._hub.attempts.keep_variables(values)
        except OSError as error:
            # What is assigned behind them would begin with older ones. On another stream both come again.
            text = "the workspace's variables can't be written down"
            raise Failure(Reaction.RETRY, text, str(error)) from error

    def _keep_answer(self, told: wire.AttemptAnswer) -> None:
        key = AttemptKey(*messages.attempt_of(told.attempt))
        answer = answer_of(told.answer)
        if (partly := self._partly.get(key)) is not None:
            partly.answers.append(answer)
            if len(partly.answers) == partly.follow:
                self._hub.granted(self._partly.pop(key).whole())
            return
        try:
            self._hub.answered(key, answer)
        except OSError as error:
            # Its flow waits for it. On another stream it comes again.
            raise Failure(Reaction.RETRY, "an answer can't be written down", str(error)) from error

    def _welcomed(self, welcome: wire.Welcome, sent_at: float) -> None:
        hub = self._hub
        permits = permits_of(welcome.permits)
        if hub.encoder.permits != permits:
            hub.encoder = Encoder(permits, hub.results_url)
        self._clock_corrected = False
        self._was_welcomed = True
        log.info(
            "connected",
            extra={
                "held": len(welcome.attempts),
                "resumed": welcome.resumed,
                "permits": sorted(PERMIT_NAMES.get(p, str(p)) for p in permits),
            },
        )
        hub.tell_reporting(messages.welcomed(welcome))
        stored = {messages.attempt_of(r.attempt): r.last_line for r in welcome.attempts}
        hub.tell_lines(lines.Welcomed(classes.DATA_CLASS_LOG in permits, stored))
        ttl, interval = welcome.ttl_ms / 1_000, welcome.renew_interval_ms / 1_000
        hub.tell_session(session.Welcomed(sent_at, ttl, interval))
        for resumed in welcome.attempts:
            if resumed.verdict == wire.VERDICT_OK:
                # Recorded, and perhaps never started: an earlier life of this agent ended in between.
                hub.act(Resume(AttemptKey(*messages.attempt_of(resumed.attempt))))
            if resumed.cancel:
                hub.cancel_asked(messages.attempt_of(resumed.attempt), "asked for while away")

    def _acked(self, ack: wire.Ack) -> None:
        hub = self._hub
        if ack.HasField("witness"):
            if self._epoch not in (0, ack.witness.epoch):
                # What this stream has confirmed may be lost: the next Hello names the old epoch and learns what to do.
                hub.give_up("the log has a new epoch")
                return
            self._epoch = ack.witness.epoch
            hub.noted.witness = messages.witness_of(ack.witness)
            hub.noted.wake.set()
        hub.tell_reporting(messages.acked(ack))
