"""Wished-for runs of other deployments: where the fields of their facts, and the contents beside them, come from."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from headway_agent.connection.fields import Frame, Getter, call_of, integer_of, text_of
from headway_api.event.v1 import attempt_pb2 as facts


def uuid_of(name: str) -> Getter:
    def get(frame: Frame) -> bytes | None:
        value = frame.get(name)
        try:
            return UUID(value).bytes if type(value) is str else None
        except ValueError:
            return None

    return get


def _flag(name: str) -> Getter:
    return lambda frame: frame.get(name) is True


def _has_parameters(frame: Frame) -> bool:
    return bool(frame.get("parameters"))


def _name_digest(frame: Frame) -> bytes | None:
    """The deployment is found by it where its name may not leave."""
    name = frame.get("name")
    return hashlib.sha256(name.encode("utf-8", "replace")).digest() if type(name) is str else None


WISHES: Mapping[str, tuple[type[Message], Mapping[str, Getter]]] = {
    "run.requested": (
        facts.RunRequested,
        {
            "call": call_of("call"),
            "run": uuid_of("run"),
            "deployment": text_of("name"),
            "deployment_digest": _name_digest,
            "has_parameters": _has_parameters,
            "due_at_us": integer_of("due_us"),
            "waited": _flag("waited"),
            "outlives": _flag("outlives"),
        },
    )
}


def _object(name: str) -> Getter:
    def get(frame: Frame) -> bytes:
        content: Any = frame.get(name)
        if type(content) is not dict or not content:
            return b""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")

    return get


WISHED: Mapping[str, Mapping[str, Getter]] = {
    "run.requested": {
        "parameters_digest": _object("parameters"),
        "labels_digest": _object("labels"),
    }
}
"""The erasable contents beside such a fact, by the field that holds their digest."""
