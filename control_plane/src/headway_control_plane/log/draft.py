"""One flush in memory: items in their order, each seeing what those before it decided. No I/O: loaded rows in, rows to write out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from headway_control_plane.application.ports import (
    AttemptVerdict,
    CommitNotice,
    Committed,
    Cursor,
    FactsResult,
    FactsVerdict,
    IdempotencyConflict,
    UnknownWorkspace,
    Witness,
)
from headway_control_plane.domain.attempt.admission import Verdict, admit
from headway_control_plane.domain.commands import (
    Command,
)
from headway_control_plane.domain.decide import decide
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.streams import Blob, Context, Decided, Stream, StreamKind
from headway_control_plane.domain.variables.commands import WriteVariable
from headway_control_plane.log.codec import encode
from headway_control_plane.log.columns import EventColumns, Head, LateColumns, Source, group_of_one
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import PreparedFacts
from headway_control_plane.log.items import CommandItem, FactsItem, HashedKey, Item
from headway_control_plane.log.rows import Loaded
from headway_control_plane.log.rows_children import ChildRequest

Row = tuple[Any, ...]
Settlement = Callable[[], None]  # answers an item; called after the commit
# What an item may be told instead of a result, without anything being wrong with the flush.
_REFUSALS = (Refused, IdempotencyConflict, UnknownWorkspace)


class BrokenItem(Exception):
    """Carrying an item out failed in a way that nobody foresaw. The flush goes on without it."""

    def __init__(self, item: Item) -> None:
        super().__init__("an item of the flush failed")
        self.item = item


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A row of `command_dedupe`."""

    request_hash: bytes
    response: bytes


class Draft:
    """What a flush is about to write, and what it will answer once that is committed."""

    def __init__(
        self,
        heads: Mapping[int, Head],
        loaded: Loaded,
        responses: Mapping[tuple[int, bytes], StoredResponse],
        *,
        now: datetime,
        policy: Policy,
        ids: EventIds,
    ) -> None:
        self.heads = heads
        self.states = loaded.states
        self.columns = EventColumns()
        self.payloads: dict[tuple[int, bytes], bytes] = {}
        self.late = LateColumns()
        self.dedupe_rows: list[Row] = []
        self.child_rows: list[Row] = []
        self._asked: set[int] = set()
        self.settlements: list[Settlement] = []
        self._fences = loaded.fences
        self._responses = dict(responses)
        self._decided: dict[int, list[Decided]] = {ws: [] for ws in heads}
        self._now = now
        self._policy = policy
        self._ids = ids

    def add(self, item: Item) -> None:
        """Carry one item out.

        Raises:
            BrokenItem: Something unforeseen; this draft is spoilt.
        """
        try:
            self.settlements.append(self._settlement(item))
        except Exception as error:
            raise BrokenItem(item) from error

    def notices(self) -> list[CommitNotice]:
        """Return what listeners are told once this is committed."""
        return [
            CommitNotice(
                ws,
                head.shard,
                Cursor(head.epoch, head.first),
                Cursor(head.epoch, head.offset),
                tuple(self._decided[ws]),
                self._now,
                ws in self._asked,
            )
            for ws, head in self.heads.items()
            if head.moved
        ]

    @property
    def writes(self) -> bool:
        return bool(self.columns.count or self.late.count or self.dedupe_rows)

    def _settlement(self, item: Item) -> Settlement:
        try:
            head = self.heads.get(item.ws)
            if head is None:
                raise UnknownWorkspace(item.ws)
            if isinstance(item, CommandItem):
                return partial(item.settle, self._command(head, item))
            return partial(item.settle, self._facts(head, item))
        except _REFUSALS as refusal:
            return partial(item.settle, refusal)

    # Commands

    def _command(self, head: Head, item: CommandItem) -> Committed:
        if item.dedupe is not None and (stored := self._stored(item.ws, item.dedupe)) is not None:
            response = json.loads(stored)
            return Committed(_cursor(head), head.chain, (), response, repeated=True)
        source = Source.of(item.actor, item.causation, item.traceparent)
        context = self._context(item.actor, item.causation, item.traceparent)
        decided = decide(item.command, self.states[item.ws], context)
        self._append(head, decided, source)
        response = None
        if item.dedupe is not None:
            self._remember(item.ws, item.dedupe)
            response = json.loads(item.dedupe.response)
        return Committed(
            _cursor(head),
            head.chain,
            tuple(decided),
            response,
            repeated=not decided,
            recorded_at=head.recorded_at,
        )

    def _stored(self, ws: int, key: HashedKey) -> bytes | None:
        stored = self._responses.get((ws, key.key_hash))
        if stored is None:
            return None
        if stored.request_hash != key.request_hash:
            raise IdempotencyConflict
        return stored.response

    def _remember(self, ws: int, key: HashedKey) -> None:
        self._responses[ws, key.key_hash] = StoredResponse(key.request_hash, key.response)
        self.dedupe_rows.append(
            (ws, key.key_hash, key.request_hash, key.response, self._now + key.keep)
        )

    def _append(self, head: Head, decided: Sequence[Decided], source: Source) -> None:
        states = self.states[head.ws]
        for one in decided:
            encoded = encode(one.event)
            self._keep_blobs(head.ws, encoded.blobs)
            group = group_of_one(
                encoded.type,
                encoded.schema_version,
                self._ids.take(1)[0],
                self._now,
                encoded.payload,
            )
            version = states.version(one.stream) + 1
            states.evolve(one, head.recorded_at, self._policy)
            self.columns.append(head, one.stream, version, group, source)
            self._decided[head.ws].append(one)

    def _keep_blobs(self, ws: int, blobs: Sequence[Blob]) -> None:
        for blob in blobs:
            if blob.content is not None and blob.digest:
                self.payloads[ws, blob.digest] = blob.content

    def _context(self, actor: str, causation: UUID | None, traceparent: str) -> Context:
        return Context(self._now, actor, causation, traceparent, self._policy)

    # Facts

    def _facts(self, head: Head, item: FactsItem) -> FactsResult:
        source = Source.of(item.actor, None, item.traceparent)
        before = head.offset
        verdicts = tuple(self._attempt(head, item, facts, source) for facts in item.attempts)
        witness = Witness(_cursor(head), head.chain) if head.offset > before else None
        return FactsResult(verdicts, witness)

    def _attempt(
        self, head: Head, item: FactsItem, facts: PreparedFacts, source: Source
    ) -> AttemptVerdict:
        states = self.states[head.ws]
        attempt = states.attempt(facts.run, facts.fence)
        admission = admit(attempt, self._run_fence(head.ws, facts.run), facts.first_seq, len(facts))
        known = admission.skip
        verdict = FactsVerdict(admission.verdict.value)
        if admission.verdict is Verdict.FENCED:
            self._keep_late(head.ws, facts, known)
        if not admission.accept:
            return AttemptVerdict(facts.run, facts.fence, verdict, admission.last_seq)
        bad = min((n for n in facts.bad if n >= known), default=None)
        stop = len(facts) if bad is None else bad
        if stop > known:
            self._append_facts(head, facts.part(known, stop), source)
            self._carry_out(head, item, facts, known, stop)
        last_seq = facts.first_seq + stop - 1
        if bad is None:
            return AttemptVerdict(facts.run, facts.fence, verdict, last_seq)
        return AttemptVerdict(facts.run, facts.fence, FactsVerdict.POISON, last_seq, facts.bad[bad])

    def _run_fence(self, ws: int, run: UUID) -> int:
        """Return the newest fence: a grant of this flush moves the state, the loaded number stays."""
        state = self.states[ws].run(run)
        return self._fences.get((ws, run), 0) if state is None else state.fence

    def _append_facts(self, head: Head, facts: PreparedFacts, source: Source) -> None:
        stream = Stream(StreamKind.ATTEMPT, facts.run, facts.fence)
        self.columns.append(head, stream, facts.first_seq, facts, source)
        self.states[head.ws].accept_facts(facts.run, facts.fence, facts.first_seq + len(facts) - 1)
        self._keep_contents(head.ws, facts)

    def _keep_contents(self, ws: int, facts: PreparedFacts) -> None:
        for digest, content in facts.blobs.items():
            self.payloads[ws, digest] = content

    def _carry_out(
        self, head: Head, item: FactsItem, facts: PreparedFacts, start: int, stop: int
    ) -> None:
        """Decide what the accepted facts mean for their run, in the same flush, behind them."""
        for n, request in facts.requests.items():
            if start <= n < stop:
                self._ask(head, request)
        for n, command in facts.commands.items():
            if start <= n < stop:
                causation = UUID(bytes=facts.event_ids[n][4:])
                self._internal(head, command, item, causation)

    def _ask(self, head: Head, request: ChildRequest) -> None:
        """Note a wanted run. One that is being cancelled gets no more."""
        run = self.states[head.ws].run(request.parent)
        if run is not None and not run.is_terminal and run.status is not RunStatus.CANCELLING:
            self.child_rows.append(request.row(head.ws, head.shard, self._now))
            self._asked.add(head.ws)

    def _internal(self, head: Head, command: Command, item: FactsItem, causation: UUID) -> None:
        actor = command.actor if isinstance(command, WriteVariable) else "system"
        context = self._context(actor, causation, item.traceparent)
        try:
            decided = decide(command, self.states[head.ws], context)
        except Refused:
            return  # the facts stand; somebody decided about the run before they came
        self._append(head, decided, Source.of(actor, causation, item.traceparent))

    def _keep_late(self, ws: int, facts: PreparedFacts, known: int) -> None:
        self._keep_contents(ws, facts)
        for n in range(known, len(facts)):
            if n not in facts.bad:
                self.late.append(ws, facts, n, self._now)


def _cursor(head: Head) -> Cursor:
    return Cursor(head.epoch, head.offset)
