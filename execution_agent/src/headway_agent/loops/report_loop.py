"""Sends facts: reads what the plan wants, encodes it, and lets credits and answers decide the rest."""

import logging
from dataclasses import dataclass, field

from headway_agent.connection import messages
from headway_agent.connection.encoder import Encoded
from headway_agent.core import lines, planning, resume
from headway_agent.core.attempt import Attempt
from headway_agent.core.planning import Plan, Want
from headway_agent.core.resume import Position, Span
from headway_agent.loops.hub import Hub
from headway_agent.loops.waiting import wait_for
from headway_agent.runner.api import AttemptKey, Fact
from headway_api.agent.v1 import agent_service_pb2 as wire

log = logging.getLogger(__name__)

LINGER_S = 0.05
UNREAD_PAUSE_S = 1.0
"""After which facts are tried again that could not be read, or did not fit: nothing else may ever wake us."""
LOOK_BACK = 256
ENDED = "AttemptEnded"
EXITED = "AttemptExited"


@dataclass(slots=True)
class Draft:
    """A batch in the making."""

    room_facts: int
    room_bytes: int
    spans: list[Span] = field(default_factory=list)
    parts: list[wire.AttemptFacts] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return self.room_facts <= 0 or self.room_bytes <= 0

    def add(self, want: Want, facts: list[Encoded]) -> None:
        self.spans.append(Span(want.attempt, want.after + 1, want.after + len(facts)))
        self.parts.append(messages.attempt_facts(want.attempt, want.after + 1, facts))
        self.room_facts -= len(facts)


class ReportLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # The attempt.ended frame of attempts whose attempt.exited is still to come.
        self._ended: dict[Attempt, bytes] = {}

    async def run(self) -> None:
        hub = self._hub
        while True:
            hub.report_wake.clear()
            plan = self._plan()
            if plan is None:
                await self._rest()
                continue
            if self._worth_waiting(plan):
                await self._linger()
                plan = self._plan() or plan
            if not await self._send(plan):
                await self._rest(UNREAD_PAUSE_S)

    def _plan(self) -> Plan | None:
        flying = lines.bytes_in_flight(self._hub.lines)
        return planning.plan(self._hub.reporting, self._hub.clock.boottime(), reserved=flying)

    async def _rest(self, at_most: float | None = None) -> None:
        now = self._hub.clock.boottime()
        at = planning.wake_at(self._hub.reporting, now)
        waits = [wait for wait in (at_most, None if at is None else at - now) if wait is not None]
        await wait_for(self._hub.report_wake, min(waits, default=None))

    def _worth_waiting(self, plan: Plan) -> bool:
        """A lone fact leaves at once; while answers are out, a batch has time to fill."""
        wanted = sum(want.max_items for want in plan.wants)
        return bool(self._hub.reporting.flights) and not plan.resend and wanted < plan.max_facts

    async def _linger(self) -> None:
        """Until the window is empty again, at most the batching time."""
        hub = self._hub
        until = hub.clock.boottime() + LINGER_S
        while hub.reporting.flights and (left := until - hub.clock.boottime()) > 0:
            hub.report_wake.clear()
            if not await wait_for(hub.report_wake, left):
                return

    async def _send(self, plan: Plan) -> bool:
        """Reads and sends one batch; False when there was nothing that fits."""
        hub = self._hub
        draft = Draft(plan.max_facts, plan.max_bytes)
        for want in plan.wants:
            if draft.full:
                break
            try:
                await self._read(want, draft)
            except OSError as error:
                # One attempt's file is no reason to keep quiet about the others; its own is tried again.
                log.warning("facts can't be read: %s", error, extra={"run": want.attempt[0]})
        # What was read is of no use if meanwhile the stream ended or an answer moved the position.
        fresh = hub.reporting.open and all(
            (p := self._position(span.attempt)) is not None and p.sent == span.first - 1
            for span in draft.spans
        )
        if not draft.spans:
            return False
        if not fresh:
            return True
        message = messages.fact_batch(hub.reporting.next_batch, draft.parts)
        hub.tell_reporting(resume.Sent(tuple(draft.spans), message.ByteSize(), plan.resend))
        hub.outbox.put(message)
        return True

    def _position(self, attempt: Attempt) -> Position | None:
        return self._hub.reporting.positions.get(attempt)

    async def _read(self, want: Want, draft: Draft) -> None:
        key = AttemptKey(*want.attempt)
        most = min(want.max_items, draft.room_facts)
        encoded: list[Encoded] = []
        for fact in await self._hub.attempts.facts(key, want.after, most):
            one = await self._encode(key, fact)
            # One fact may pass the limit when nothing else is out: else it could never be sent.
            alone = not encoded and not draft.spans and not self._hub.reporting.flights
            if one.size > draft.room_bytes and not alone:
                draft.room_bytes = 0
                break
            encoded.append(one)
            draft.room_bytes -= one.size
        if encoded:
            draft.add(want, encoded)

    async def _encode(self, key: AttemptKey, fact: Fact) -> Encoded:
        encoder = self._hub.encoder
        position = self._position(key)
        reason = position.dropped.get(fact.seq) if position else None
        if reason is not None:
            return encoder.dropped(fact.frame, reason)
        ended = self._ended.get(key)
        encoded = encoder.encode(fact.frame, ended)
        if encoded.type == ENDED:
            self._ended = {a: f for a, f in self._ended.items() if self._position(a)}
            self._ended[key] = fact.frame
        elif encoded.type == EXITED:
            self._ended.pop(key, None)
            if ended is None:
                ended = await self._find_ended(key, fact.seq)
                return encoder.encode(fact.frame, ended)
        return encoded

    async def _find_ended(self, key: AttemptKey, before: int) -> bytes | None:
        """The attempt.ended frame that went out in an earlier life of this agent: it is among the last ones."""
        while before > 1:
            after = max(before - 1 - LOOK_BACK, 0)
            for fact in reversed(await self._hub.attempts.facts(key, after, before - 1 - after)):
                if fact.seq < before and self._hub.encoder.encode(fact.frame).type == ENDED:
                    return fact.frame
            before = after + 1
        return None
