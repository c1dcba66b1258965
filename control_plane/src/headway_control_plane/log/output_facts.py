"""What is wrong with an artifact, points of a metric or an event as received: they end up in rows and their indexes."""

from __future__ import annotations

from math import isfinite
from typing import Any

from headway_api.event.v1 import attempt_pb2

CALL_BYTES_MAX = 255  # of what names a call; indexes hold it
# The year 9000: Python's calendar ends with 9999, in whatever zone somebody reads.
END_OF_TIME_US = 221_845_392_000_000_000
OUTPUTS = frozenset({"ArtifactSaved", "MetricsRecorded", "EventEmitted", "VariableWritten"})
POINTS_MAX = 1_000  # of one batch of a metric
KEY_CHARACTERS_MAX = 100  # of an artifact
WORD_BYTES_MAX = 4 << 10
_MOST_RECORDED = 1 << 53


def output_problem(message: Any) -> str:
    """Empty for one that can be stored."""
    fields = message.DESCRIPTOR.fields_by_name
    ids = [getattr(message, name) for name in ("id", "call", "series", "topic") if name in fields]
    if max(map(len, ids)) > CALL_BYTES_MAX:
        return f"an id in it has more than {CALL_BYTES_MAX} bytes"
    words = [getattr(message, name, "") for name in ("name", "key", "unit", "kind", "media_type")]
    words += getattr(message, "tags", ())
    if any("\x00" in word or len(word.encode()) > WORD_BYTES_MAX for word in words):
        return "a name in it holds a NUL or is too long"
    if isinstance(message, attempt_pb2.ArtifactSaved):
        return _artifact_problem(message)
    return _points_problem(message) if isinstance(message, attempt_pb2.MetricsRecorded) else ""


def _artifact_problem(artifact: attempt_pb2.ArtifactSaved) -> str:
    if len(artifact.key) > KEY_CHARACTERS_MAX:
        return f"the key of an artifact has more than {KEY_CHARACTERS_MAX} characters"
    if max(len(artifact.content_digest), len(artifact.description_digest)) > CALL_BYTES_MAX:
        return f"a digest in it has more than {CALL_BYTES_MAX} bytes"
    if not 0 <= artifact.percent <= 100 or artifact.size_bytes < 0:
        return "a progress is no number from 0 to 100, or a size is negative"
    return ""


def _points_problem(batch: attempt_pb2.MetricsRecorded) -> str:
    points = len(batch.values)
    if points > POINTS_MAX or len(batch.at_us) != points or len(batch.steps) not in (0, points):
        return f"a batch of a metric has at most {POINTS_MAX} points, each with an instant"
    if not all(map(isfinite, batch.values)):
        return "a point of a metric is no finite number"
    if not all(0 <= at_us < END_OF_TIME_US for at_us in batch.at_us):
        return "a point of a metric was recorded at no instant between 1970 and 8999"
    if not (0 <= batch.first <= _MOST_RECORDED and points <= batch.recorded <= _MOST_RECORDED):
        return "a batch of a metric has a wrong number of points"
    return ""
