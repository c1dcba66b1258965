"""Messages of agents as checked values, and values as messages. What is malformed stops here, with a sentence for its sender."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.common.v1 import data_class_pb2
from headway_control_plane.application.ports import (
    AttemptFacts,
    AttemptVerdict,
    Fact,
    FactsVerdict,
    Witness,
)
from headway_control_plane.domain.streams import Blob
from headway_control_plane.grpc_api.settings import Limits

PROTOCOL = 1
SEVERAL = "several"
"""The capability of agents that take several messages in one."""
Attempt = tuple[UUID, int]

_VERDICTS: Mapping[FactsVerdict, pb.Verdict.ValueType] = {
    FactsVerdict.OK: pb.VERDICT_OK,
    FactsVerdict.GAP: pb.VERDICT_GAP,
    FactsVerdict.FENCED: pb.VERDICT_FENCED,
    FactsVerdict.POISON: pb.VERDICT_POISON,
    FactsVerdict.RETRY: pb.VERDICT_RETRY,
    FactsVerdict.UNKNOWN: pb.VERDICT_UNKNOWN,
}
_BIGGEST = 2**62
_LONGEST_WORD = 255
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Malformed(Exception):
    """The message breaks the protocol; the stream is closed with this sentence."""


class TooMuch(Exception):
    """The message is over a limit; the stream is closed with this sentence."""


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that the agent still holds."""

    attempt: Attempt
    last_seq: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Hello:
    """A checked Hello."""

    session: UUID
    host: str
    agent_version: str
    slots: int
    held: tuple[Held, ...]
    epoch: int = 0
    incarnation: int = 0
    takes_several: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """A FactBatch whose form and size are right. Whether a single fact can be stored is for the log to judge."""

    id: int
    attempts: tuple[AttemptFacts, ...]
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Lines:
    """A checked LogBatch."""

    attempt: Attempt
    first_line: int
    lines: int
    content: bytes


def read_hello(message: pb.Hello, limits: Limits) -> Hello:
    if len(message.held) > limits.held_attempts:
        raise TooMuch(f"Hello names more than {limits.held_attempts} held attempts.")
    held = tuple(
        Held(_attempt(item.attempt), _count(item.last_seq, "last_seq"), item.alive)
        for item in message.held
    )
    if len({item.attempt for item in held}) != len(held):
        raise Malformed("Hello names an attempt twice.")
    return Hello(
        session=_uuid(message.session, "session"),
        host=_word(message.host, "host"),
        agent_version=_word(message.agent_version, "agent_version"),
        slots=read_slots(message.slots, limits),
        held=held,
        epoch=_count(message.epoch, "epoch"),
        incarnation=_count(message.incarnation, "incarnation"),
        takes_several=SEVERAL in message.capabilities,
    )


def read_slots(slots: int, limits: Limits) -> int:
    if not 0 <= slots <= limits.slots:
        raise Malformed(f"slots must be from 0 to {limits.slots}, not {slots}.")
    return slots


def read_facts(message: pb.FactBatch, limits: Limits) -> Facts:
    count = sum(len(item.facts) for item in message.attempts)
    size = message.ByteSize()
    if count > limits.batch_facts or size > limits.batch_bytes:
        raise TooMuch(
            f"A FactBatch holds at most {limits.batch_facts} facts and {limits.batch_bytes} bytes."
        )
    attempts = tuple(_attempt_facts(item) for item in message.attempts)
    if len({(item.run, item.fence) for item in attempts}) != len(attempts):
        raise Malformed("A FactBatch names an attempt twice; send its facts as one range.")
    return Facts(message.id, attempts, count, size)


def read_lines(message: pb.LogBatch, limits: Limits) -> Lines:
    if len(message.content) > limits.log_batch_bytes or message.lines > limits.log_batch_lines:
        raise TooMuch(
            f"A LogBatch holds at most {limits.log_batch_lines} lines and {limits.log_batch_bytes} bytes."
        )
    if message.lines < 1:
        raise Malformed("A LogBatch holds at least one line.")
    if not message.content.startswith(_ZSTD_MAGIC):
        raise Malformed("The content of a LogBatch must be one zstd frame.")
    first_line = _count(message.first_line, "first_line", least=1)
    return Lines(_attempt(message.attempt), first_line, message.lines, message.content)


def attempt_ref(attempt: Attempt) -> pb.AttemptRef:
    return pb.AttemptRef(run=attempt[0].bytes, fence=attempt[1])


def ack(
    batch_id: int, verdicts: Iterable[AttemptVerdict], witness: Witness | None
) -> pb.SessionResponse:
    message = pb.Ack(batch_id=batch_id, attempts=[_attempt_ack(verdict) for verdict in verdicts])
    if witness is not None:
        cursor = witness.cursor
        message.witness.CopyFrom(
            pb.Witness(epoch=cursor.epoch, offset=cursor.offset, chain=witness.chain)
        )
    return pb.SessionResponse(ack=message)


def permitted_classes(names: Iterable[str]) -> list[data_class_pb2.DataClass.ValueType]:
    """Return the data classes of a pool's permits; a name that this version does not know permits nothing."""
    values = data_class_pb2.DataClass
    known = set(values.keys())
    wanted = (f"DATA_CLASS_{name.upper()}" for name in names)
    return [values.Value(name) for name in wanted if name in known]


def milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _attempt_ack(verdict: AttemptVerdict) -> pb.AttemptAck:
    return pb.AttemptAck(
        attempt=attempt_ref((verdict.run, verdict.fence)),
        verdict=_VERDICTS[verdict.verdict],
        last_seq=verdict.last_seq,
        reason=verdict.reason,
        retry_after_ms=milliseconds(verdict.retry_after),
    )


def _attempt_facts(item: pb.AttemptFacts) -> AttemptFacts:
    run, fence = _attempt(item.attempt)
    return AttemptFacts(
        run,
        fence,
        _count(item.first_seq, "first_seq", least=1),
        [
            Fact(fact.type, fact.schema_version, fact.occurred_at_us, fact.payload)
            for fact in item.facts
        ],
        [Blob(blob.digest, blob.content) for blob in item.blobs],
    )


def _attempt(ref: pb.AttemptRef) -> Attempt:
    return _uuid(ref.run, "run"), _count(ref.fence, "fence", least=1)


def _uuid(raw: bytes, what: str) -> UUID:
    if len(raw) != 16:
        raise Malformed(f"{what} must be a UUID of 16 bytes, not {len(raw)} bytes.")
    return UUID(bytes=raw)


def _count(value: int, what: str, *, least: int = 0) -> int:
    if not least <= value < _BIGGEST:
        raise Malformed(f"{what} must be at least {least} and below 2^62, not {value}.")
    return value


def _word(text: str, what: str) -> str:
    if len(text) > _LONGEST_WORD or not text.isprintable():
        raise Malformed(f"{what} must be printable text of at most {_LONGEST_WORD} characters.")
    return text
