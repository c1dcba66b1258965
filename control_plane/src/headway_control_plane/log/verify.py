"""Proves a log, or names the first offset at which it is not what was written.

Streams through the log once, in bounded memory: the chain is recomputed from the stored bytes, offsets have no gap,
each stream counts its events from 1 (an attempt's facts by seq), and the head agrees. Memory grows with the number of
streams alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from headway_control_plane.application.ports import START, LogReader, Recorded, Witness
from headway_control_plane.log import chain
from headway_control_plane.log.packed import to_us

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where the log is not what was written."""

    offset: int
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proved: all events up to `head`, or the first fault. `events` counts those that were read."""

    head: Witness
    events: int
    fault: Fault | None

    @property
    def ok(self) -> bool:
        return self.fault is None


class ChainCheck:
    """Takes events in their order and says what is wrong with one, if anything."""

    def __init__(self, workspace: UUID) -> None:
        self._workspace = workspace
        self.chain = chain.origin(workspace)
        self.offset = 0
        self._recorded_us = 0
        self._segment = 0
        self._versions: dict[bytes, int] = {}

    def take(self, event: Recorded) -> str | None:
        """Check one event; return what is wrong."""
        stream = chain.stream_bytes(event.stream)
        expected = self._versions.get(stream, 0) + 1
        recorded_us = to_us(event.recorded_at)
        faults = (
            (event.cursor.offset != self.offset + 1, f"offset {self.offset + 1} is missing"),
            (
                event.chain != self._link(event, stream),
                "the event or its place was changed: the hash chain breaks here",
            ),
            (
                event.version != expected,
                f"{event.stream} goes on at version {event.version}, not {expected}",
            ),
            (recorded_us < self._recorded_us, "it was recorded before its predecessor"),
            (event.seg < self._segment, "it lies in an older segment than its predecessor"),
        )
        self.offset, self.chain = event.cursor.offset, event.chain
        self._versions[stream] = event.version
        self._recorded_us, self._segment = recorded_us, event.seg
        return next((what for is_wrong, what in faults if is_wrong), None)

    def _link(self, event: Recorded, stream: bytes) -> bytes:
        body = chain.body_bytes(
            event.type.encode(),
            event.schema_version,
            event.event_id.bytes,
            to_us(event.occurred_at),
        )
        source = chain.origin_bytes(event.actor, event.causation, event.traceparent)
        (computed,) = chain.link(
            self.chain,
            self._workspace,
            event.epoch,
            event.cursor.offset,
            stream,
            event.version,
            [(body, sha256(event.payload).digest())],
            to_us(event.recorded_at),
            source,
        )
        return computed


async def verify(
    reader: LogReader, ws: int, workspace: UUID, *, witness: Witness | None = None
) -> Verified:
    """Verify a workspace's log up to its present head; `witness` is a place that somebody outside remembers."""
    head = await reader.head(ws)
    check = ChainCheck(workspace)
    events = 0
    after = START
    while check.offset < head.cursor.offset:
        page = await reader.read(ws, after, _PAGE)
        if not page:
            what = f"the head says {head.cursor.offset}, the log ends here"
            return Verified(head, events, Fault(check.offset + 1, what))
        for event in page:
            if event.cursor.offset > head.cursor.offset:
                break  # appended meanwhile
            events += 1
            wrong = check.take(event) or _contradiction(event, witness)
            if wrong is not None:
                return Verified(head, events, Fault(event.cursor.offset, wrong))
        after = page[-1].cursor
    return Verified(head, events, _end_fault(check, head, witness))


def _contradiction(event: Recorded, witness: Witness | None) -> str | None:
    if witness is None or event.cursor.offset != witness.cursor.offset:
        return None
    if event.chain == witness.chain:
        return None
    return f"the witness remembers another history up to {witness.cursor}"


def _end_fault(check: ChainCheck, head: Witness, witness: Witness | None) -> Fault | None:
    if check.chain != head.chain:
        return Fault(check.offset, "the head's hash is not that of the last event")
    if witness is not None and witness.cursor.offset > head.cursor.offset:
        what = f"the witness remembers {witness.cursor}, the log ends before it"
        return Fault(head.cursor.offset + 1, what)
    return None
