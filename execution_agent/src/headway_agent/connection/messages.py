"""Messages of the wire from and to plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from headway_agent.connection.encoder import SCHEMA_VERSION, Encoded
from headway_agent.core import resume
from headway_agent.core.attempt import Attempt
from headway_agent.core.resume import Answer, Verdict
from headway_api.agent.v1 import agent_service_pb2 as wire

PROTOCOL = 1
CAPABILITIES = ("late-facts", "log-gaps", "several")

_VERDICTS: dict[int, Verdict] = {
    wire.VERDICT_OK: Verdict.OK,
    wire.VERDICT_GAP: Verdict.GAP,
    wire.VERDICT_FENCED: Verdict.FENCED,
    wire.VERDICT_POISON: Verdict.POISON,
    wire.VERDICT_RETRY: Verdict.RETRY,
    wire.VERDICT_UNKNOWN: Verdict.UNKNOWN,
}
UNHEARD_RETRY_S = 60.0
"""Pause after a verdict that this version does not know: it can't be acted upon, and must not loop."""


@dataclass(frozen=True, slots=True)
class Held:
    """What Hello says of one attempt."""

    attempt: Attempt
    last_seq: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Witness:
    epoch: int
    offset: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Introduction:
    """What Hello says of the agent."""

    session: UUID
    version: str
    host: str
    incarnation: int = 0


def attempt_ref(attempt: Attempt) -> wire.AttemptRef:
    run, fence = attempt
    return wire.AttemptRef(run=UUID(run).bytes, fence=fence)


def attempt_of(ref: wire.AttemptRef) -> Attempt:
    return str(UUID(bytes=ref.run)), ref.fence


def run_of(run: bytes) -> str:
    return str(UUID(bytes=run))


def witness_of(witness: wire.Witness) -> Witness:
    return Witness(witness.epoch, witness.offset, witness.chain)


def hello(
    who: Introduction, slots: int, held: Iterable[Held], witness: Witness | None, epoch: int
) -> wire.SessionRequest:
    return wire.SessionRequest(
        hello=wire.Hello(
            protocol=PROTOCOL,
            agent_version=who.version,
            session=who.session.bytes,
            host=who.host,
            slots=slots,
            capabilities=CAPABILITIES,
            held=[
                wire.HeldAttempt(attempt=attempt_ref(h.attempt), last_seq=h.last_seq, alive=h.alive)
                for h in held
            ],
            witness=witness_message(witness) if witness else None,
            epoch=epoch,
            incarnation=who.incarnation,
        )
    )


def witness_message(witness: Witness) -> wire.Witness:
    return wire.Witness(epoch=witness.epoch, offset=witness.offset, chain=witness.chain)


def renew(number: int) -> wire.SessionRequest:
    return wire.SessionRequest(renew=wire.Renew(id=number))


def slots(count: int) -> wire.SessionRequest:
    return wire.SessionRequest(slots=wire.Slots(slots=count))


def goodbye(reason: str, *, handover: bool) -> wire.SessionRequest:
    return wire.SessionRequest(goodbye=wire.Goodbye(reason=reason, handover=handover))


def attempt_facts(
    attempt: Attempt, first_seq: int, encoded: Sequence[Encoded]
) -> wire.AttemptFacts:
    """Consecutive facts of one attempt. Equal blobs are sent once."""
    blobs = {digest: content for fact in encoded for digest, content in fact.blobs}
    return wire.AttemptFacts(
        attempt=attempt_ref(attempt),
        first_seq=first_seq,
        facts=[
            wire.Fact(
                type=fact.type,
                schema_version=SCHEMA_VERSION,
                occurred_at_us=fact.occurred_at_us,
                payload=fact.payload,
            )
            for fact in encoded
        ],
        blobs=[wire.Blob(digest=digest, content=content) for digest, content in blobs.items()],
    )


def fact_batch(number: int, attempts: Iterable[wire.AttemptFacts]) -> wire.SessionRequest:
    return wire.SessionRequest(facts=wire.FactBatch(id=number, attempts=attempts))


def log_batch(attempt: Attempt, first: int, lines: int, content: bytes) -> wire.SessionRequest:
    return wire.SessionRequest(
        logs=wire.LogBatch(
            attempt=attempt_ref(attempt), first_line=first, lines=lines, content=content
        )
    )


def _answer(
    ref: wire.AttemptRef, verdict: int, last: int, reason: str, retry_after_ms: int
) -> Answer:
    known = _VERDICTS.get(verdict)
    if known is None:
        return Answer(attempt_of(ref), Verdict.RETRY, last, reason, UNHEARD_RETRY_S)
    return Answer(attempt_of(ref), known, last, reason, retry_after_ms / 1_000)


def acked(ack: wire.Ack) -> resume.Acked:
    answers = tuple(
        _answer(a.attempt, a.verdict, a.last_seq, a.reason, a.retry_after_ms) for a in ack.attempts
    )
    return resume.Acked(ack.batch_id, answers)


def welcomed(welcome: wire.Welcome) -> resume.Welcomed:
    answers = tuple(_answer(r.attempt, r.verdict, r.last_seq, "", 0) for r in welcome.attempts)
    return resume.Welcomed(welcome.credit_facts, welcome.credit_bytes, answers)
