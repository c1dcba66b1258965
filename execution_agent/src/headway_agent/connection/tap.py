"""The outbound tap: every message that leaves, as JSON lines in a file of the customer's, for audit.

A line is written before its message is sent. Facts, blobs and log lines are shown decoded: what the file shows is
what the control plane can read.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zstandard
from google.protobuf.json_format import MessageToDict

from headway_api.agent.v1 import agent_service_pb2 as wire
from headway_api.event.v1 import attempt_pb2 as facts

LOG_LIMIT = 4 * 1024 * 1024


class Tap:
    """Writes to one file, which only its owner may read."""

    def __init__(self, path: Path, now_us: Callable[[], int]) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._now_us = now_us

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, message: wire.SessionRequest) -> None:
        line = {"at_us": self._now_us(), "sent": shown(message)}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()


def shown(message: wire.SessionRequest) -> dict[str, Any]:
    """The message as a dictionary, with encoded contents decoded."""
    content = _dict(message)
    if message.HasField("facts"):
        for attempt, said in zip(message.facts.attempts, content["facts"]["attempts"], strict=True):
            for fact, fact_said in zip(attempt.facts, said["facts"], strict=True):
                fact_said["payload"] = _dict(getattr(facts, fact.type).FromString(fact.payload))
            for blob, blob_said in zip(attempt.blobs, said.get("blobs", ()), strict=True):
                blob_said["content"] = blob.content.decode("utf-8", "replace")
    elif message.HasField("logs") and message.logs.content:
        lines = zstandard.ZstdDecompressor().decompress(message.logs.content, LOG_LIMIT)
        content["logs"]["content"] = lines.decode("utf-8", "replace").splitlines()
    return content


def _dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
