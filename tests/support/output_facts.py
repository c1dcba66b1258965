"""Artifacts, points of metrics and events as an agent reports them, with what lies beside them."""

import hashlib
import json
from typing import NamedTuple
from uuid import UUID

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.emit_event import Event
from headway_control_plane.application.ports import AttemptFacts, Fact, FactsBatch
from headway_control_plane.domain.streams import Blob
from support.log_fixtures import NOW_US, fact


class Told(NamedTuple):
    """A fact and its contents."""

    fact: Fact
    blobs: tuple[Blob, ...] = ()


def key_of(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()[:16]


def artifact(
    kind: str = "markdown", content: bytes | None = b"# Report", *, key: str = "report", description: str = "",
    media_type: str = "text/markdown", percent: float | None = None, number: int = 0, withheld: bool = False, call: bytes = b"",
) -> Told:  # fmt: skip
    message = facts.ArtifactSaved(
        id=key_of(kind, key, content, number), call=call, kind=kind, key=key, media_type=media_type,
        size_bytes=len(content or b""),
    )  # fmt: skip
    blobs = []
    if percent is not None and not withheld:
        message.percent = percent
    if content and not withheld:
        blobs.append(Blob.of(content))
        message.content_digest = blobs[-1].digest
    if description and not withheld:
        blobs.append(Blob.of(description.encode()))
        message.description_digest = blobs[-1].digest
    return Told(fact(message), tuple(blobs))


def table(columns, rows, **options) -> Told:
    content = json.dumps({"columns": columns, "rows": rows}).encode()
    return artifact("table", content, media_type="application/json", **options)


def progress(percent: float, *, key: str = "", number: int = 0, **options) -> Told:
    return artifact(
        "progress", None, key=key, media_type="", percent=percent, number=number, **options
    )


def points(
    name: str, values, *, first: int = 0, recorded: int | None = None, call: bytes = b"", unit: str = "", steps=None, at_us=None
) -> Told:  # fmt: skip
    values = list(values)
    message = facts.MetricsRecorded(
        series=key_of(name), call=call, name=name, unit=unit, first=first,
        recorded=len(values) if recorded is None else recorded, values=values,
        at_us=at_us or [NOW_US + 1_000_000 * (first + n) for n in range(len(values))], steps=steps or [],
    )  # fmt: skip
    return Told(fact(message))


def emitted(event: Event, *, number: int = 0, withheld: bool = False) -> Told:
    message = facts.EventEmitted(
        id=key_of(event.name, event.key, number), name=event.name, key=event.key, topic=event.topic,
        with_value=event.value is not None,
    )  # fmt: skip
    if event.value is None or withheld:
        return Told(fact(message))
    blob = Blob.of(json.dumps(event.value).encode())
    message.value_digest = blob.digest
    return Told(fact(message), (blob,))


async def report(fleet, run: UUID, first_seq: int, *told: Told | Fact, fence: int = 1):
    """Sends them as the next facts of an attempt."""
    plain = [one if isinstance(one, Told) else Told(one) for one in told]
    blobs = [blob for one in plain for blob in one.blobs]
    attempt = AttemptFacts(run, fence, first_seq, [one.fact for one in plain], blobs)
    result = await fleet.log.append_facts(fleet.ws, FactsBatch([attempt], f"agent/{fleet.agent}"))
    return result.attempts[0]


def written(
    name: str, *value: object, number: int = 0, withheld: bool = False, tags=None, expected_version=None
) -> Told:  # fmt: skip
    """A variable that a run sets; without a value: that it deletes."""
    message = facts.VariableWritten(
        id=key_of(name, value, number), name=name, deleted=not value, tags=tags or [],
        with_tags=tags is not None, expected_version=expected_version,
    )  # fmt: skip
    if not value:
        return Told(fact(message))
    blob = Blob.of(json.dumps(value[0]).encode())
    if withheld:
        return Told(fact(message))
    message.value_digest = blob.digest
    return Told(fact(message), (blob,))
