"""Artifacts, metrics, events and variables: where the fields of their facts, and the contents beside them, come from."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from headway_agent.connection.fields import (
    Frame,
    Getter,
    call_of,
    choice_of,
    digest_of,
    text_of,
)
from headway_agent.connection.text import sanitised
from headway_api.event.v1 import attempt_pb2 as facts

MOST_CONTENT = 256 * 1024
MOST_POINTS = 1_000
MOST_COUNTED = 1 << 53
# The year 9000, as the control plane has it.
END_OF_TIME_US = 221_845_392_000_000_000
UNIT_BYTES = 80
KEY_BYTES = 4_000
MOST_TAGS, TAG_CHARACTERS = 20, 64
_KINDS = ("markdown", "table", "link", "progress", "image")
_MEDIA_TYPES = (
    "text/markdown",
    "application/json",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
)


def _percent(frame: Frame) -> float | None:
    value = frame.get("percent")
    if (type(value) is float or type(value) is int) and 0 <= value <= 100:
        return float(value)
    return None


def _points(frame: Frame) -> list[Any] | None:
    """The three lists side by side; None where they are no points."""
    values, times, steps = frame.get("values"), frame.get("times"), frame.get("steps")
    if type(values) is not list or type(times) is not list or len(values) != len(times):
        return None
    if (
        len(values) > MOST_POINTS
        or not all(map(_is_number, values))
        or not _are_whole(times, END_OF_TIME_US)
    ):
        return None
    if steps is not None and not (_are_whole(steps, MOST_COUNTED) and len(steps) == len(values)):
        return None
    return [[float(value) for value in values], times, steps or []]


def _is_number(value: object) -> bool:
    # A whole number may have more digits than a double has room for.
    return (type(value) is float and math.isfinite(value)) or (
        type(value) is int and abs(value) < 1 << 1000
    )


def _are_whole(values: object, below: int) -> bool:
    return type(values) is list and all(type(v) is int and 0 <= v < below for v in values)


def _count_of(name: str) -> Getter:
    def get(frame: Frame) -> int | None:
        value = frame.get(name)
        return value if type(value) is int and 0 <= value <= MOST_COUNTED else None

    return get


def _recorded(frame: Frame) -> int:
    """At least as many as are there."""
    points = _points(frame)
    return max(_count_of("recorded")(frame) or 0, len(points[0]) if points else 0)


def _column(number: int) -> Getter:
    def get(frame: Frame) -> Any:
        points = _points(frame)
        return None if points is None else points[number]

    return get


def _with_value(frame: Frame) -> bool:
    return type(frame.get("data")) is str


def _tags(frame: Frame) -> list[str] | None:
    """None where it keeps those that it has."""
    tags = frame.get("tags")
    if type(tags) is not list or len(tags) > MOST_TAGS:
        return None
    return [sanitised(tag)[:TAG_CHARACTERS] for tag in tags if type(tag) is str]


def _expected_version(frame: Frame) -> int | None:
    value = frame.get("expected_version")
    return value if type(value) is int and 0 <= value < 1 << 63 else None


_IN_CALL: dict[str, Getter] = {"id": call_of("id"), "call": call_of("call")}

OUTPUTS: Mapping[str, tuple[type[Message], Mapping[str, Getter]]] = {
    "artifact.saved": (
        facts.ArtifactSaved,
        {
            **_IN_CALL,
            "kind": choice_of("kind", {kind: kind for kind in _KINDS}),
            "key": text_of("key", 100),
            "media_type": choice_of("media_type", {word: word for word in _MEDIA_TYPES}),
            "size_bytes": _count_of("size"),
            "percent": _percent,
        },
    ),
    "metrics.recorded": (
        facts.MetricsRecorded,
        {
            "series": call_of("series"),
            "call": call_of("call"),
            "name": text_of("name"),
            "unit": text_of("unit", UNIT_BYTES),
            "first": _count_of("first"),
            "recorded": _recorded,
            "values": _column(0),
            "at_us": _column(1),
            "steps": _column(2),
        },
    ),
    "event.emitted": (
        facts.EventEmitted,
        {
            **_IN_CALL,
            "name": text_of("name"),
            "key": text_of("key", KEY_BYTES),
            "topic": digest_of("topic"),
            "with_value": _with_value,
        },
    ),
    "variable.written": (
        facts.VariableWritten,
        {
            **_IN_CALL,
            "name": text_of("name"),
            "deleted": lambda frame: not _with_value(frame),
            "tags": _tags,
            "with_tags": lambda frame: _tags(frame) is not None,
            "expected_version": _expected_version,
        },
    ),
}


def _artifact_content(frame: Frame) -> bytes:
    """Empty for what is no content of its kind."""
    data, media_type = frame.get("data"), frame.get("media_type")
    if type(data) is not str or type(media_type) is not str:
        return b""
    if not media_type.startswith("image/"):
        return _fitting(sanitised(data).encode())
    try:
        return _fitting(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return b""


def _text_content(name: str) -> Getter:
    def get(frame: Frame) -> bytes:
        value = frame.get(name)
        return _fitting(sanitised(value).encode()) if type(value) is str else b""

    return get


def _fitting(content: bytes) -> bytes:
    """What is cut would be another content: rather none."""
    return content if len(content) <= MOST_CONTENT else b""


CONTENTS: Mapping[str, Mapping[str, Getter]] = {
    "artifact.saved": {
        "content_digest": _artifact_content,
        "description_digest": _text_content("description"),
    },
    "event.emitted": {"value_digest": _text_content("data")},
    "variable.written": {"value_digest": _text_content("data")},
}
"""The erasable contents beside a fact, by the field that holds their digest."""
