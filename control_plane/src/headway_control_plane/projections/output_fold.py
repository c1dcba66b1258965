"""The fold of artifacts and points of metrics into rows: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.ports import Recorded
from headway_control_plane.projections.read_model import BrokenEvent

_OUTPUTS = frozenset({"ArtifactSaved", "MetricsRecorded"})
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class ArtifactId(NamedTuple):
    """An artifact of a run."""

    run: UUID
    id: bytes


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest artifact of a key, and what it holds."""

    number: int
    artifact: ArtifactId
    content: tuple[Any, ...]


@dataclass(slots=True)
class Changes:
    """Rows to write, in this order."""

    outdated: list[ArtifactId] = field(default_factory=list)
    artifacts: dict[ArtifactId, dict[str, Any]] = field(default_factory=dict)
    moved: dict[ArtifactId, dict[str, Any]] = field(default_factory=dict)
    replaced: list[dict[str, Any]] = field(default_factory=list)
    batches: list[dict[str, Any]] = field(default_factory=list)


def parse(events: Iterable[Recorded]) -> list[tuple[Recorded, Any]]:
    """The side outputs among the events, decoded. Raises BrokenEvent."""
    parsed = []
    for event in events:
        if event.type not in _OUTPUTS:
            continue
        try:
            body = event.decode()
        except Exception as error:
            raise BrokenEvent(event, error) from error
        if body is not None:
            parsed.append((event, body))
    return parsed


def fold_artifacts(
    parsed: Iterable[tuple[Recorded, Any]],
    known: set[ArtifactId],
    latest: dict[str, Latest],
    changes: Changes,
) -> None:
    """One id is one artifact, whatever is told of it; the same content again under a key, by the same run, is no new version."""
    for event, body in parsed:
        if not isinstance(body, facts.ArtifactSaved):
            continue
        artifact = ArtifactId(event.stream.id, body.id)
        if artifact in known:
            _move(artifact, event, body, changes)
            continue
        before = latest.get(body.key) if body.key else None
        content = _content(body)
        if (
            before
            and before.artifact.run == artifact.run
            and before.content == content
            and content[2]
        ):
            continue
        known.add(artifact)
        number = 0
        if body.key:
            number = before.number + 1 if before else 1
            if before:
                _outdate(before.artifact, changes)
            latest[body.key] = Latest(number, artifact, content)
        changes.artifacts[artifact] = _artifact(artifact, event, body, number)


def fold_metrics(parsed: Iterable[tuple[Recorded, Any]], changes: Changes) -> None:
    """The points of a later try of a call take the place of the earlier one's."""
    for event, body in parsed:
        if not isinstance(body, facts.MetricsRecorded):
            continue
        owner = {
            "run": str(event.stream.id),
            "series": hexed(body.series),
            "call": hexed(body.call),
        }
        if body.first == 0:
            changes.replaced.append(owner)
            changes.batches = [b for b in changes.batches if not owner.items() <= b.items()]
        changes.batches.append(owner | _batch(event, body))


def hexed(value: bytes) -> str:
    """Bytes as PostgreSQL reads them."""
    return "\\x" + value.hex()


def _content(body: facts.ArtifactSaved) -> tuple[Any, ...]:
    return (body.kind, body.media_type, body.content_digest, body.description_digest)


def _move(
    artifact: ArtifactId, event: Recorded, body: facts.ArtifactSaved, changes: Changes
) -> None:
    percent = body.percent if body.HasField("percent") else None
    moved = {"percent": percent, "updated_at": _at(event)}
    if artifact in changes.artifacts:
        changes.artifacts[artifact] |= moved
    else:
        changes.moved[artifact] = _key(artifact) | moved


def _outdate(artifact: ArtifactId, changes: Changes) -> None:
    if artifact in changes.artifacts:
        changes.artifacts[artifact]["latest"] = False
    else:
        changes.outdated.append(artifact)


def _key(artifact: ArtifactId) -> dict[str, Any]:
    return {"run": str(artifact.run), "id": hexed(artifact.id)}


def _artifact(
    artifact: ArtifactId, event: Recorded, body: facts.ArtifactSaved, number: int
) -> dict[str, Any]:
    return _key(artifact) | {
        "fence": event.stream.fence,
        "call": hexed(body.call),
        "kind": body.kind,
        "key": body.key,
        "number": number,
        "latest": bool(body.key),
        "media_type": body.media_type,
        "size_bytes": body.size_bytes,
        "content": hexed(body.content_digest),
        "description": hexed(body.description_digest),
        "percent": body.percent if body.HasField("percent") else None,
        "first_offset": event.cursor.offset,
        "saved_at": _at(event),
        "updated_at": _at(event),
    }


def _batch(event: Recorded, body: facts.MetricsRecorded) -> dict[str, Any]:
    values = list(body.values)
    return {
        "first": body.first,
        "recorded": body.recorded,
        "name": body.name,
        "unit": body.unit,
        "first_offset": event.cursor.offset,
        "told_at": _at(event),
        "kept": len(values),
        "lowest": min(values, default=None),
        "highest": max(values, default=None),
        "newest": values[-1] if values else None,
        "points": values,
        "times": list(body.at_us),
        "steps": list(body.steps),
    }


def _at(event: Recorded) -> str:
    """Of its own time where that was told, and makes sense."""
    at = event.occurred_at if event.occurred_at.timestamp() > 0 else event.recorded_at
    return min(at, _LATEST).isoformat()
