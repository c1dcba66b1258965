"""Events as bytes: every payload either decodes or is refused with a word for it, and what is let into the log can be read by all that read it.

A script is (type, schema version, instant, payload[, content of a blob]). It is decoded as an event of the log, and taken in as an agent's fact.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from fuzz import mutation
from fuzz.corpus import Script
from fuzz.harness import Finding, Target
from headway_api.event.v1 import attempt_pb2, control_pb2
from headway_control_plane.application.ports import AttemptFacts, Cursor, Fact, Recorded
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from headway_control_plane.http_api.shapes_other import EventShape
from headway_control_plane.log.codec import Undecodable, encode
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import prepare
from headway_control_plane.log.upcast import Upcasters, decode_any
from headway_control_plane.projections.events import view_event
from headway_control_plane.projections.task_fold import fold, parse

GOLDEN = Path(__file__).parents[1] / "contract/log/golden"
RUN = UUID(int=1)
NOW_US = 1_795_000_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = (
    "",
    "Unknown",
    "RunDreamt",
    "x" * 64,
    "X" * 65,
    "Run\0",
    "Rün",
    "Result",
    "Error",
    "SELECT",
)
_NUMBERS = (
    b"0",
    b"-1",
    b"2",
    b"7",
    b"32767",
    b"32768",
    b"9223372036854775807",
    b"-9223372036854775808",
)
# Types that a later version knows in a second form: it keeps every fifth byte out.
_STEPS = Upcasters(
    {
        ("CallEnded", 1): lambda payload: payload[::-1],
        ("RunCreated", 1): lambda payload: payload[:5],
    }
)


class Codec(Target):
    name = "codec"
    traced = (
        "headway_control_plane.log.codec",
        "headway_control_plane.log.facts",
        "headway_control_plane.projections.events",
        "headway_control_plane.projections.task_fold",
    )

    def seeds(self) -> Iterable[Script]:
        for path in sorted(GOLDEN.glob("*.bin")):
            type_, version = path.name.split(".")[:2]
            yield (type_.encode(), version[1:].encode(), b"%d" % NOW_US, path.read_bytes())
        text = b'{"message": "no", "traceback": []}'
        error = attempt_pb2.Error(error_class="E", text_digest=Blob.of(text).digest)
        exited = attempt_pb2.AttemptExited(outcome=2, error=error)
        yield (b"AttemptExited", b"1", b"%d" % NOW_US, exited.SerializeToString(), text)

    def mutate(self, random: Random, script: Script) -> Script:
        pieces = [*script, *(b"",) * (4 - len(script))]
        match random.randrange(10):
            case 0:
                names = [*_TYPES, *(name for kind in (attempt_pb2, control_pb2) for name in kind.DESCRIPTOR.message_types_by_name)]  # fmt: skip
                pieces[0] = random.choice(names).encode()
            case 1:
                pieces[1] = random.choice(_NUMBERS)
            case 2:
                pieces[2] = random.choice(_NUMBERS)
            case 3:
                pieces[4:] = [mutation.bytes_(random, b"".join(pieces[4:]))]
            case 4:
                pieces[3] = mutation.bytes_(random, pieces[3])
            case _:
                pieces[3] = _of_its_type(random, pieces[0], pieces[3])
        return tuple(pieces)

    async def execute(self, script: Script) -> Hashable:
        name, version, at_us, payload = (*script, *(b"",) * 4)[:4]
        type_ = name.decode(errors="replace")
        number, instant = _integer(version), _integer(at_us)
        try:
            decoded = _decoded(type_, number, payload)
            with suppress(Undecodable):
                decode_any(type_, number, payload, _STEPS)
        except Exception as error:
            raise Finding.of("decoding failed", error) from error
        return decoded, _admitted(Fact(type_, number, instant, payload), script[4:])


def _decoded(type_: str, version: int, payload: bytes) -> Hashable:
    """Decodes, and encodes again what was no fact: to the same."""
    try:
        event = decode_any(type_, version, payload)
    except Undecodable:
        return "undecodable"
    if event is None or type_ in attempt_pb2.DESCRIPTOR.message_types_by_name:
        return type_ if event is not None else "unknown"
    again = encode(event)
    if decode_any(type_, again.schema_version, again.payload) != event:
        raise Finding(f"{type_} is not the same after encoding and decoding")
    return type_


def _admitted(fact: Fact, contents: Script) -> Hashable:
    """Takes a fact in; what is admitted must be readable by everything that reads the log."""
    blobs = [Blob.of(content) for content in contents]
    try:
        taken = prepare(AttemptFacts(RUN, 1, 1, [fact], blobs), EventIds(lambda: 1, os.urandom))
    except Exception as error:
        raise Finding.of("a fact failed where it is taken in", error) from error
    if taken.bad:
        return "poison", taken.bad[0].split(" ")[0]
    try:
        event = _recorded(fact)
        fold(parse([_recorded(_CALL), event]), {})
        EventShape.of(view_event(event)).model_dump_json()
    except Exception as error:
        raise Finding.of("a fact that was admitted can't be read", error) from error
    return "admitted", tuple(type(command).__name__ for command in taken.commands.values())


def _recorded(fact: Fact) -> Recorded:
    at = EPOCH + timedelta(microseconds=fact.occurred_at_us)
    return Recorded(
        Cursor(1, 1), 1, 0, Stream(StreamKind.ATTEMPT, RUN, 1), 1, fact.type, fact.schema_version, RUN, at, at, "agent", None, "",
        fact.payload, b"", lambda recorded: decode_any(recorded.type, recorded.schema_version, recorded.payload),
    )  # fmt: skip


_CALL = Fact(
    "CallStarted", 1, NOW_US, attempt_pb2.CallStarted(call=b"c", name="task").SerializeToString()
)


def _of_its_type(random: Random, name: bytes, payload: bytes) -> bytes:
    type_ = name.decode(errors="replace")
    module: Any = (
        attempt_pb2 if type_ in attempt_pb2.DESCRIPTOR.message_types_by_name else control_pb2
    )
    kind = getattr(module, type_, None) if type_.isidentifier() else None
    if kind is None or type_ not in module.DESCRIPTOR.message_types_by_name:
        return mutation.bytes_(random, payload)
    return mutation.message(random, kind, payload)


def _integer(text: bytes) -> int:
    """As the wire could carry it."""
    try:
        return max(-(2**63), min(int(text), 2**63 - 1))
    except ValueError:
        return 0
