"""The facts that the benchmarks of the log send: ended calls, as a real agent encodes a real frame."""

from __future__ import annotations

import json
import time

from headway_agent.connection import messages
from headway_agent.connection.encoder import Encoded, Encoder
from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.common.v1 import data_class_pb2 as classes
from headway_control_plane.application.ports import Fact

BATCH = 256
ALL = frozenset(classes.DataClass.values())


def frames() -> list[bytes]:
    now = time.time_ns() // 1000
    made = [
        {
            "type": "call.ended",
            "at_us": now,
            "call": f"{n:032x}",
            "parent": "root",
            "kind": "task",
            "name": "load_partition",
            "started_at_us": now - 1000,
            "outcome": "completed",
            "tries": 1,
            "result": {"codec": "json", "size_bytes": 1, "digest": f"{n:064x}"},
        }
        for n in range(BATCH)
    ]
    return [json.dumps(frame, separators=(",", ":")).encode() for frame in made]


def encoded() -> list[Encoded]:
    encoder = Encoder(ALL)
    return [encoder.encode(frame) for frame in frames()]


def wire_facts() -> list[pb.Fact]:
    return list(messages.attempt_facts(("00" * 16, 1), 1, encoded()).facts)


def log_facts() -> list[Fact]:
    return [Fact(f.type, 1, f.occurred_at_us, f.payload) for f in encoded()]
