"""Checks facts as received and packs them, before anything is locked: what is left for the flush is where they go."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.ports import AttemptFacts, Fact
from headway_control_plane.domain.commands import (
    AttemptAsked,
    AttemptBegan,
    AttemptOver,
    Command,
    DeliverEvent,
)
from headway_control_plane.domain.run.asked import BY_DIGEST
from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.streams import NO_BLOB, Blob
from headway_control_plane.log import packed
from headway_control_plane.log.chain import body_bytes
from headway_control_plane.log.codec import EVENT_TYPES, FACT_TYPES, Undecodable
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.output_facts import (
    CALL_BYTES_MAX,
    END_OF_TIME_US,
    OUTPUTS,
    output_problem,
)
from headway_control_plane.log.packed import from_us
from headway_control_plane.log.rows_children import ChildRequest
from headway_control_plane.log.upcast import decode_any
from headway_control_plane.log.variable_facts import write_of

PAYLOAD_BYTES_MAX = 1 << 20
BLOB_BYTES_MAX = 256 << 10
TEXT_BYTES_MAX = 4 << 10  # of a word that ends up in a row: the class of an error, a cause
WAITS_MAX = 1000  # of one suspended attempt
OTHER_WAITS_MAX = 100  # of them for anything but runs: they carry what is asked
_WAITS = frozenset({"sleep", "input", "event", "run"})
_OF_CALLS = frozenset({"CallStarted", "CallRetrying", "CallEnded"})
_DIGESTS = ("content_digest", "description_digest", "value_digest", "run_name_digest")
CALLS_MAX = 4096  # of one range
_KEY_BYTES = 16
_TYPE_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_OUTCOMES = {
    number: name.removeprefix("ATTEMPT_OUTCOME_").lower()
    for name, number in attempt_pb2.AttemptOutcome.items()
    if number
}


V = TypeVar("V")


class Poison(Exception):
    """This fact can't be stored; the message says why."""


@dataclass(slots=True, kw_only=True)
class Group:
    """Packed parts of consecutive events of one stream."""

    types: list[bytes] = field(default_factory=list)
    schema_versions: list[bytes] = field(default_factory=list)
    event_ids: list[bytes] = field(default_factory=list)
    occurred: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    links: list[tuple[bytes, bytes]] = field(default_factory=list)  # as chain.link takes them

    def __len__(self) -> int:
        return len(self.links)


@dataclass(slots=True, kw_only=True)
class PreparedFacts(Group):
    """One attempt's facts, packed column by column; `bad` names by index those that can't be stored."""

    run: UUID
    fence: int
    first_seq: int
    size_bytes: int = 0
    commands: dict[int, Command] = field(default_factory=dict)  # by index: what a fact leads to
    requests: dict[int, ChildRequest] = field(default_factory=dict)  # by index: wanted runs
    bad: dict[int, str] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> PreparedFacts:
        """Return some of them as facts of their own; the blobs stay with all of them."""
        return PreparedFacts(
            run=self.run,
            fence=self.fence,
            first_seq=self.first_seq + start,
            size_bytes=self.size_bytes,
            types=self.types[start:stop],
            schema_versions=self.schema_versions[start:stop],
            event_ids=self.event_ids[start:stop],
            occurred=self.occurred[start:stop],
            payloads=self.payloads[start:stop],
            links=self.links[start:stop],
            commands=_shifted(self.commands, start, stop),
            requests=_shifted(self.requests, start, stop),
            bad=_shifted(self.bad, start, stop),
            blobs=self.blobs,
        )


def prepare(received: AttemptFacts, ids: EventIds) -> PreparedFacts:
    """Check and pack the facts of one attempt."""
    facts = PreparedFacts(run=received.run, fence=received.fence, first_seq=received.first_seq)
    contents = {blob.digest: blob for blob in received.blobs}
    facts.size_bytes += sum(len(blob.content or b"") for blob in received.blobs)
    for n, (fact, event_id) in enumerate(
        zip(received.facts, ids.take(len(received.facts)), strict=True)
    ):
        try:
            message = _checked(fact)
            if message is not None:
                _take_blobs(facts.blobs, message, contents)
                _derive(facts, n, message)
        except Poison as poison:
            facts.bad[n] = str(poison)
            fact = _PLACEHOLDER  # noqa: PLW2901 - keeps the columns even; never stored
        _add(facts, fact, event_id)
    return facts


def _add(facts: PreparedFacts, fact: Fact, event_id: bytes) -> None:
    type_, schema_version, occurred_us, payload = fact
    packed_type, type_bytes = _type(type_)
    facts.size_bytes += len(payload) + 256
    facts.types.append(packed_type)
    facts.schema_versions.append(packed.int2(schema_version))
    facts.event_ids.append(packed.uuid_bytes(event_id))
    facts.occurred.append(packed.instant_us(occurred_us))
    facts.payloads.append(packed.data(payload))
    facts.links.append(
        (body_bytes(type_bytes, schema_version, event_id, occurred_us), sha256(payload).digest())
    )


_NULL = Blob.of(b"null")
_KNOWN_TYPES = {name: (packed.text(name), name.encode()) for name in FACT_TYPES}
_PLACEHOLDER = Fact("FactDropped", 1, 0, b"")


def _type(name: str) -> tuple[bytes, bytes]:
    return _KNOWN_TYPES.get(name) or (packed.text(name), name.encode())


def _checked(fact: Fact) -> Any:
    """Return the decoded message; None for a type or version from the future, which is stored as it came."""
    type_, schema_version, occurred_us, payload = fact
    if type_ not in FACT_TYPES and not _TYPE_NAME.fullmatch(type_):
        raise Poison("the type is no name of a message")
    if type_ in EVENT_TYPES:
        # Whatever reads the log would take it for a word of our own.
        raise Poison(f"{type_} is an event of the control plane, no fact of an attempt")
    if not 1 <= schema_version <= 0x7FFF:
        raise Poison(f"schema version {schema_version} is out of range")
    if not 0 <= occurred_us < END_OF_TIME_US:
        raise Poison("occurred_at_us is no instant between 1970 and 8999")
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise Poison(f"the payload has {len(payload)} bytes, the limit is {PAYLOAD_BYTES_MAX}")
    if type_ not in FACT_TYPES:
        return None
    try:
        message = decode_any(type_, schema_version, payload)
    except Undecodable as error:
        raise Poison(f"the payload is no {type_}") from error
    if message is None:
        return None
    _check_words(type_, message)
    return message


def _check_words(type_: str, message: Any) -> None:
    """What ends up in rows and their indexes."""
    if type_ in _OF_CALLS and max(len(message.call), len(message.parent)) > CALL_BYTES_MAX:
        raise Poison(f"a call's name has more than {CALL_BYTES_MAX} bytes")
    if type_ == "CallsEnded":
        _check_range(message)
    if type_ in OUTPUTS and (problem := output_problem(message)):
        raise Poison(problem)


def _check_range(message: attempt_pb2.CallsEnded) -> None:
    """Its arrays say something of the same calls; where timings are withheld they are empty."""
    calls, odd = divmod(len(message.calls), _KEY_BYTES)
    if odd or not 0 < (calls or message.count) <= CALLS_MAX:
        raise Poison(f"a range is of 1 to {CALLS_MAX} calls, with keys of {_KEY_BYTES} bytes")
    if message.kind not in (attempt_pb2.CALL_KIND_TASK, attempt_pb2.CALL_KIND_UNSPECIFIED):
        raise Poison("a range is of calls of a task")
    times = {len(message.started_deltas_us), len(message.durations_us)}
    if times - {0} - {calls or message.count} or len(times) != 1:
        raise Poison("a range does not say of each call when it began and how long it took")
    if len(message.parent) > CALL_BYTES_MAX:
        raise Poison(f"a call's name has more than {CALL_BYTES_MAX} bytes")


def _take_blobs(taken: dict[bytes, bytes], message: Any, contents: Mapping[bytes, Blob]) -> None:
    """Keep the content that a fact names; content that no fact names is not stored."""
    if not contents:
        return
    for digest in _named_digests(message):
        blob = contents.get(digest)
        if blob is not None and blob.content is not None:
            _check_blob(blob.digest, blob.content)
            taken[digest] = blob.content


def _check_blob(digest: bytes, content: bytes) -> None:
    if len(content) > BLOB_BYTES_MAX:
        raise Poison(f"its content has {len(content)} bytes, the limit is {BLOB_BYTES_MAX}")
    if sha256(content).digest() != digest:
        raise Poison("its content does not have the digest that it names")


def _named_digests(message: Any) -> Sequence[bytes]:
    fields = message.DESCRIPTOR.fields_by_name
    digests = []
    if "error" in fields:
        digests.append(message.error.text_digest)
    if "result" in fields:
        digests.append(message.result.preview_digest)
    digests += [getattr(message, name) for name in _DIGESTS if name in fields]
    if "waits" in fields:
        digests += [wait.request_digest for wait in message.waits]
    if "wait" in fields:
        digests.append(message.wait.request_digest)
    if "parameters_digest" in fields:
        digests += [message.parameters_digest, message.labels_digest]
    return digests


def _derive(facts: PreparedFacts, n: int, message: Any) -> None:
    """Note what a fact means for its run."""
    if isinstance(message, attempt_pb2.AttemptStarted):
        facts.commands[n] = AttemptBegan(facts.run, facts.fence)
    elif isinstance(message, attempt_pb2.AttemptExited):
        facts.commands[n] = _over(facts, message)
    elif isinstance(message, attempt_pb2.WaitStarted):
        if message.wait.kind == "input" and message.wait.call:  # else nobody could answer it
            asked = _waiting(message.wait)
            facts.commands[n] = AttemptAsked(facts.run, facts.fence, asked)
    elif isinstance(message, attempt_pb2.EventEmitted):
        value = _value(facts, message)
        if value is not None and message.topic:
            facts.commands[n] = DeliverEvent(message.topic, value)
    elif isinstance(message, attempt_pb2.VariableWritten):
        write = write_of(facts.run, message, facts.blobs)
        if write is not None:
            facts.commands[n] = write
    elif isinstance(message, attempt_pb2.RunRequested):
        facts.requests[n] = _request(facts.run, message)


def _value(facts: PreparedFacts, event: attempt_pb2.EventEmitted) -> Blob | None:
    """None where it has one and that was withheld: who waits must not go on with another."""
    if not event.with_value:
        return _NULL
    content = facts.blobs.get(event.value_digest)
    return None if content is None else Blob(event.value_digest, content)


def _over(facts: PreparedFacts, exited: attempt_pb2.AttemptExited) -> AttemptOver:
    outcome = _OUTCOMES.get(exited.outcome)
    if outcome is None:
        raise Poison("AttemptExited does not say how the attempt ended")
    if len(exited.waits) > WAITS_MAX:
        raise Poison(f"AttemptExited names more than {WAITS_MAX} waits")
    if sum(wait.kind != "run" for wait in exited.waits) > OTHER_WAITS_MAX:
        raise Poison(f"AttemptExited names more than {OTHER_WAITS_MAX} waits for other than runs")
    digest = exited.error.text_digest
    return AttemptOver(
        run=facts.run,
        fence=facts.fence,
        outcome=outcome,
        cause=_word(exited.cause),
        detail=_detail(exited),
        error_class=_word(exited.error.error_class),
        error_text=Blob(digest, facts.blobs.get(digest)) if digest else NO_BLOB,
        result_digest=exited.result.digest,
        result_size_bytes=exited.result.size_bytes,
        waits=tuple(_waiting(wait) for wait in exited.waits),
    )


def _request(run: UUID, asked: attempt_pb2.RunRequested) -> ChildRequest:
    if not 0 < len(asked.call) <= CALL_BYTES_MAX:
        raise Poison("RunRequested does not name its call")
    if max(len(asked.parameters_digest), len(asked.labels_digest)) > CALL_BYTES_MAX:
        raise Poison("a digest in RunRequested is none")
    if not 0 <= asked.due_at_us < END_OF_TIME_US:
        raise Poison("a wanted run is due at no instant between 1970 and 8999")
    wanted = _child(asked.run)
    if wanted is None:
        raise Poison("RunRequested does not name the run")
    return ChildRequest(
        parent=run,
        call=asked.call,
        run=wanted,
        deployment=_word(asked.deployment) or f"{BY_DIGEST}{asked.deployment_digest.hex()}",
        parameters=asked.parameters_digest,
        has_parameters=asked.has_parameters,
        labels=asked.labels_digest,
        due_at=from_us(asked.due_at_us) if asked.due_at_us else None,
        waited=asked.waited,
        outlives=asked.outlives,
    )


def _child(named: bytes) -> UUID | None:
    """Whether it may name that run is found out where the run is looked for."""
    return UUID(bytes=named) if len(named) == 16 else None


def _waiting(wait: attempt_pb2.Wait) -> Waiting:
    if wait.kind not in _WAITS:
        raise Poison("the fact names a wait of a kind that there is not")
    if not 0 <= wait.until_us < END_OF_TIME_US:
        raise Poison("a wait ends at no instant between 1970 and 8999")
    if max(len(wait.call), len(wait.topic), len(wait.request_digest)) > CALL_BYTES_MAX:
        raise Poison(f"a wait's key has more than {CALL_BYTES_MAX} bytes")
    return Waiting(
        call=wait.call,
        kind=wait.kind,
        name=_word(wait.name),
        topic=wait.topic,
        until=from_us(wait.until_us) if wait.until_us else None,
        request=wait.request_digest,
        run=_child(wait.run) if wait.kind == "run" else None,
    )


def _word(text: str) -> str:
    # A row's text column can hold neither a NUL nor, in good sense, a book.
    if "\x00" in text or len(text.encode()) > TEXT_BYTES_MAX:
        raise Poison("a name in it holds a NUL or is too long")
    return text


def _detail(exited: attempt_pb2.AttemptExited) -> str:
    if exited.HasField("signal"):
        return f"signal {_signal_name(exited.signal)}"
    if exited.HasField("exit_code"):
        return f"exit code {exited.exit_code}"
    return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _shifted(by_index: Mapping[int, V], start: int, stop: int) -> dict[int, V]:
    return {n - start: value for n, value in by_index.items() if start <= n < stop}
