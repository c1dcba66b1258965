"""Frames of `frames.log` to facts of the wire, leaving out what the pool does not permit.

The tables below say where each field of each fact comes from. For given permits they are compiled to one encoder a
type that holds permitted fields alone, so that a denied value is never even looked at. A frame that can't be read, or
of an unknown type, becomes FactDropped: its seq must not be missing.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from headway_agent.connection.fields import (
    NAME_BYTES,
    Frame,
    Getter,
    call_of,
    choice_of,
    count,
    digest_of,
    integer_of,
    integers_of,
    keys_of,
    text_of,
    word_of,
)
from headway_agent.connection.outputs import CONTENTS, OUTPUTS
from headway_agent.connection.permits import Permits, class_of
from headway_agent.connection.text import cut, identifier, sanitised
from headway_agent.connection.wishes import WISHED, WISHES, uuid_of
from headway_agent.spool.value_store import referred
from headway_api.common.v1 import data_class_pb2 as classes
from headway_api.event.v1 import attempt_pb2 as facts

SCHEMA_VERSION = 1
PREVIEW_BYTES = 4_096
MESSAGE_BYTES = 16_384
SOURCE_BYTES = 512
MOST_FRAMES = 50


@dataclass(frozen=True, slots=True)
class Encoded:
    """One fact, ready to leave. `blobs` are erasable contents; their digests are in the payload."""

    type: str
    occurred_at_us: int
    payload: bytes
    blobs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def size(self) -> int:
        """At least what the fact takes in a batch, with tags, lengths and digests."""
        return len(self.payload) + 64 + sum(len(content) + 48 for _, content in self.blobs)


_KIND = choice_of(
    "kind",
    {
        "task": facts.CALL_KIND_TASK,
        "flow": facts.CALL_KIND_FLOW,
        "wait": facts.CALL_KIND_WAIT,
        "transaction": facts.CALL_KIND_TRANSACTION,
    },
)
_WAIT_KIND = choice_of("kind", {kind: kind for kind in ("sleep", "input", "event", "run")})
_CALL_OUTCOME = choice_of(
    "outcome",
    {
        "completed": facts.CALL_OUTCOME_COMPLETED,
        "failed": facts.CALL_OUTCOME_FAILED,
        "cancelled": facts.CALL_OUTCOME_CANCELLED,
        "skipped": facts.CALL_OUTCOME_SKIPPED,
    },
)
_ATTEMPT_OUTCOME = choice_of(
    "outcome",
    {
        "completed": facts.ATTEMPT_OUTCOME_COMPLETED,
        "failed": facts.ATTEMPT_OUTCOME_FAILED,
        "crashed": facts.ATTEMPT_OUTCOME_CRASHED,
        "cancelled": facts.ATTEMPT_OUTCOME_CANCELLED,
        "refused": facts.ATTEMPT_OUTCOME_REFUSED,
        "suspended": facts.ATTEMPT_OUTCOME_SUSPENDED,
    },
)


def _exit_outcome(frame: Frame) -> Any:
    """An end that does not say how could not be stored, and the run would wait for another for ever."""
    return _ATTEMPT_OUTCOME(frame) or facts.ATTEMPT_OUTCOME_CRASHED


_CAUSES = (
    "exit",
    "signal",
    "killed",
    "timed out",
    "cancelled",
    "supervisor lost",
    "host restarted",
    "entry point refused",
    "environment refused",
    "protocol refused",
    "journal missing",
)
# A cause is one of our own words: free text in its place would be a way out for anything.
_CAUSE = choice_of("cause", {cause: cause for cause in _CAUSES})
_SKIP_CAUSE = choice_of("cause", {cause: cause for cause in ("cached", "target")})


def _error_class(error: Frame) -> str | None:
    return identifier(error.get("class"))


def _bare_error_class(error: Frame) -> str | None:
    """Without its module and whatever else it was defined in: those are names of the customer's code."""
    name = identifier(error.get("class"))
    return name.rpartition(".")[2] if name else None


_IDENTITY: dict[str, Getter] = {
    "call": call_of("call"),
    "parent": call_of("parent"),
    "kind": _KIND,
    "name": text_of("name"),
}

# Frame type -> message and the source of each of its fields. `error` and `result` are compiled apart: they bear blobs.
FACTS: Mapping[str, tuple[type[Message], Mapping[str, Getter]]] = {
    "attempt.starting": (
        facts.AttemptStarting,
        {"pid": integer_of("pid"), "sdk": word_of("sdk")},
    ),
    "attempt.started": (
        facts.AttemptStarted,
        {"pid": integer_of("pid"), "python": word_of("python")},
    ),
    "call.started": (facts.CallStarted, _IDENTITY),
    "call.retrying": (
        facts.CallRetrying,
        {**_IDENTITY, "try": integer_of("try", 32), "delay_us": integer_of("delay_us")},
    ),
    "call.ended": (
        facts.CallEnded,
        {
            **_IDENTITY,
            "started_at_us": integer_of("started_at_us"),
            "outcome": _CALL_OUTCOME,
            "tries": integer_of("tries", 32),
            "cause": _SKIP_CAUSE,
        },
    ),
    "calls.ended": (
        facts.CallsEnded,
        {
            "parent": call_of("parent"),
            "kind": _KIND,
            "name": text_of("name"),
            "outcome": _CALL_OUTCOME,
            "calls": keys_of("calls"),
            "started_deltas_us": integers_of("started_deltas_us"),
            "durations_us": integers_of("durations_us"),
            "codec": word_of("codec"),
            "size_bytes": integer_of("size"),
            "count": count,
        },
    ),
    **OUTPUTS,
    **WISHES,
    "wait.started": (facts.WaitStarted, {}),
    "attempt.ended": (facts.AttemptEnded, {"outcome": _ATTEMPT_OUTCOME}),
    "attempt.exited": (
        facts.AttemptExited,
        {
            "outcome": _exit_outcome,
            "exit_code": integer_of("exit_code", 32),
            "signal": integer_of("signal", 32),
            "cause": _CAUSE,
            "lines": integer_of("lines"),
        },
    ),
}
ERROR: Mapping[str, Getter] = {"error_class": _error_class}
BARE_ERROR: Mapping[str, Getter] = {"error_class": _bare_error_class}
RESULT: Mapping[str, Getter] = {
    "codec": word_of("codec"),
    "size_bytes": integer_of("size"),
    "digest": digest_of("digest"),
    "reference": text_of("file"),
}
_OF_DATA = frozenset({"digest", "reference"})
WAIT: Mapping[str, Getter] = {
    "call": call_of("call"),
    "kind": _WAIT_KIND,
    "run": uuid_of("run"),
    "name": text_of("name"),
    "topic": digest_of("topic"),
    "until_us": integer_of("until_us"),
    "since_us": integer_of("since_us"),
}
MOST_WAITS = 1000
_KNOWN = re.compile(r"(?:attempt|calls?|artifact|metrics|event|run|wait|variable)\.[a-z_]{1,32}")
_NESTED = ("error", "result")


def _run_name(frame: Frame) -> bytes | None:
    """The name that a call was given of its own."""
    name = text_of("run_name")(frame)
    return json.dumps(name).encode() if name else None


_CONTENTS: Mapping[str, Mapping[str, Getter]] = {
    **CONTENTS,
    **WISHED,
    **{
        kind: {"run_name_digest": _run_name}
        for kind in ("call.started", "call.retrying", "call.ended")
    },
}
# What attempt.exited repeats of attempt.ended.
_REPEATED = (*_NESTED, "waits")


class Encoder:
    """Encodes the facts of a pool with these permits. Holds nothing of the frames it saw."""

    def __init__(self, permits: Permits, results_url: str = "") -> None:
        self.permits = permits
        self._store = results_url
        self._timing = classes.DATA_CLASS_TIMING in permits
        names = classes.DATA_CLASS_NAME in permits
        self._error = _compile(facts.Error, ERROR if names else BARE_ERROR, permits)
        self._result = _compile(facts.Result, RESULT, permits)
        self._wait = _compile(facts.Wait, WAIT, permits)
        self._request = _permitted(facts.Wait, "request_digest", permits)
        self._error_text = _permitted(facts.Error, "text_digest", permits)
        self._preview = _permitted(facts.Result, "preview_digest", permits)
        self._contents = {
            kind: _compile(FACTS[kind][0], contents, permits)
            for kind, contents in _CONTENTS.items()
        }
        self._types = {
            name: (
                message.DESCRIPTOR.name,
                message,
                _compile(message, fields, permits),
                tuple(part for part in _NESTED if part in message.DESCRIPTOR.fields_by_name),
            )
            for name, (message, fields) in FACTS.items()
        }

    def encode(self, content: bytes, ended: bytes | None = None) -> Encoded:
        """The fact of one frame. `ended` is the attempt's `attempt.ended` frame, for `attempt.exited` repeats it."""
        frame = _load(content)
        if frame is None:
            return self.dropped(content, "the frame can't be read")
        kind = frame.get("type")
        known = self._types.get(kind) if type(kind) is str else None
        if known is None or (kind == "calls.ended" and count(frame) is None):
            return self.dropped(content, _UNKNOWN if known is None else _NO_CALLS)
        if ended is not None and kind == "attempt.exited":
            earlier = _load(ended) or {}
            frame = {**{part: earlier[part] for part in _REPEATED if part in earlier}, **frame}
        name, message, fields, nested = known
        values = {field: value for field, get in fields if (value := get(frame)) is not None}
        blobs: list[tuple[bytes, bytes]] = []
        for part in nested:
            inner = frame.get(part)
            if type(inner) is dict:
                if self._store and part == "result":
                    inner = referred(inner, self._store, of_run=kind != "call.ended")
                encode = self._encode_error if part == "error" else self._encode_result
                values[part] = encode(inner, blobs)
        values |= self._waits(kind, frame, blobs)
        for field, content_of in self._contents.get(str(kind), ()):
            if content := content_of(frame):
                values[field] = _blob(content, blobs)
        payload = message(**values).SerializeToString()
        return Encoded(name, self._occurred(frame), payload, tuple(blobs))

    def dropped(self, content: bytes, reason: str) -> Encoded:
        """Stands in the place of a fact. The last fact of an attempt is sent bare instead: without it the run
        would never end.
        """
        frame = _load(content) or {}
        kind = frame.get("type")
        kind = kind if type(kind) is str else ""
        if kind == "attempt.exited" and reason not in _UNREADABLE:
            name, message, fields, _ = self._types[kind]
            bare = {field: value for field, get in fields if (value := get(frame)) is not None}
            return Encoded(name, self._occurred(frame), message(**bare).SerializeToString())
        known = self._types.get(kind)
        if known is not None:
            kind = known[0]
        elif not _KNOWN.fullmatch(kind):
            kind = "unknown"
        payload = facts.FactDropped(type=kind, reason=cut(sanitised(reason), NAME_BYTES))
        return Encoded("FactDropped", self._occurred(frame), payload.SerializeToString())

    def _occurred(self, frame: Frame) -> int:
        at_us = frame.get("at_us")
        return at_us if self._timing and type(at_us) is int and 0 <= at_us < 1 << 63 else 0

    def _encode_error(self, error: Frame, blobs: list[tuple[bytes, bytes]]) -> Message:
        message = facts.Error(
            **{field: value for field, get in self._error if (value := get(error)) is not None}
        )
        if self._error_text:
            message.text_digest = _blob(error_text(error), blobs)
        return message

    def _encode_result(self, result: Frame, blobs: list[tuple[bytes, bytes]]) -> Message:
        """Of one that holds secrets, neither the data nor a digest of it: whoever has that can try secrets out."""
        holds_secrets = "secrets" in result
        message = facts.Result(
            **{
                field: value
                for field, get in self._result
                if not (holds_secrets and field in _OF_DATA) and (value := get(result)) is not None
            }
        )
        data = result.get("preview" if holds_secrets else "data")
        if self._preview and result.get("codec") == "json" and type(data) is str:
            message.preview_digest = _blob(cut(sanitised(data), PREVIEW_BYTES).encode(), blobs)
        return message

    def _waits(self, kind: Any, frame: Frame, blobs: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        if kind == "attempt.exited" and type(waits := frame.get("waits")) is list:
            found = [wait for wait in waits[:MOST_WAITS] if type(wait) is dict]
            return {"waits": [self._encode_wait(wait, blobs) for wait in found]}
        if kind == "wait.started" and type(wait := frame.get("wait")) is dict:
            return {"wait": self._encode_wait(wait, blobs)}
        return {}

    def _encode_wait(self, wait: Frame, blobs: list[tuple[bytes, bytes]]) -> Message:
        message = facts.Wait(
            **{field: value for field, get in self._wait if (value := get(wait)) is not None}
        )
        if self._request and type(request := wait.get("request")) is dict:
            message.request_digest = _blob(json.dumps(request).encode(), blobs)
        return message


_UNKNOWN = "this agent does not know the frame's type"
_NO_CALLS = "it does not say which calls it is about"
_UNREADABLE = ("the frame can't be read",)


def error_text(error: Frame) -> bytes:
    """The JSON text {"message", "traceback"} of an error, cut to what an operator can read."""
    given = error.get("traceback")
    frames = [f for f in given if type(f) is dict] if type(given) is list else []
    message = error.get("message")
    text = {
        "message": cut(sanitised(message), MESSAGE_BYTES) if type(message) is str else "",
        "traceback": [_traceback_frame(frame) for frame in frames[-MOST_FRAMES:]],
    }
    return json.dumps(text, ensure_ascii=False, separators=(",", ":")).encode()


def _traceback_frame(frame: Frame) -> dict[str, Any]:
    texts = {
        key: cut(sanitised(value), SOURCE_BYTES)
        for key in ("file", "function", "code")
        if type(value := frame.get(key)) is str
    }
    line = frame.get("line")
    return {**texts, "line": line if type(line) is int else 0, "user": frame.get("user") is True}


def _blob(content: bytes, blobs: list[tuple[bytes, bytes]]) -> bytes:
    digest = hashlib.sha256(content).digest()
    blobs.append((digest, content))
    return digest


def _load(content: bytes) -> dict[str, Any] | None:
    try:
        frame = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return frame if type(frame) is dict else None


def _permitted(message: type[Message], field: str, permits: Permits) -> bool:
    return class_of(message, field) in permits


def _compile(
    message: type[Message], fields: Mapping[str, Getter], permits: Permits
) -> tuple[tuple[str, Getter], ...]:
    """The readers of the permitted fields."""
    return tuple((name, get) for name, get in fields.items() if _permitted(message, name, permits))
