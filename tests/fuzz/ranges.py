"""Ranges of calls: a frame as a supervisor, or somebody in its place, writes it, and a fact as an agent, or somebody in its place, sends it.

A script is ("frame" or "fact", bytes). A frame goes through the journal and the agent's encoder and is a fact then. A fact is refused
with a word for it, or each of its calls can be told apart by all that read ranges.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from google.protobuf.message import DecodeError

from fuzz import mutation
from fuzz.corpus import Script
from fuzz.harness import Finding, Target
from headway.runtime.journal import Journal
from headway.runtime.results import ResultReader
from headway_agent.connection.encoder import Encoder
from headway_agent.connection.permits import permits_of
from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.ports import AttemptFacts, Cursor, Fact, Recorded
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import CALLS_MAX, prepare
from headway_control_plane.log.upcast import decode_any
from headway_control_plane.projections import packed_calls
from headway_control_plane.projections.packed_calls import KEY_BYTES
from headway_control_plane.projections.task_fold import CallRow, fold, parse
from support.fake_control_plane import ALL_PERMITS

EXAMPLES = Path(__file__).parents[2] / "proto/headway_api/ipc/v1/examples"
RUN = UUID(int=1)
AT = datetime(2026, 11, 23, tzinfo=UTC)
AT_US = int((AT - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
_MOST_US = (1 << 63) - 1
_LONG = ((1 << 63) - 1, -(1 << 63), 1 << 62, -1, 0, 253_402_300_800_000_000)


class Ranges(Target):
    name = "ranges"
    traced = (
        "headway.runtime.ranges",
        "headway.runtime.journal",
        "headway_agent.connection.fields",
        "headway_control_plane.log.facts",
        "headway_control_plane.projections.packed_calls",
        "headway_control_plane.projections.task_fold",
    )

    def __init__(self, _database_url: str = "") -> None:
        self._encoder = Encoder(permits_of(ALL_PERMITS))

    def seeds(self) -> Iterable[Script]:
        for path in sorted(EXAMPLES.glob("calls.ended*.json")):
            frame = json.dumps(json.loads(path.read_bytes())).encode()
            yield b"frame", frame
            yield b"fact", self._encoder.encode(frame).payload
        withheld = facts.CallsEnded(parent=b"root", name="load", count=3, kind=1, outcome=1)
        yield b"fact", withheld.SerializeToString()

    def mutate(self, random: Random, script: Script) -> Script:
        kind, content = script if len(script) == 2 else (b"fact", b"".join(script))
        if kind == b"frame":
            return kind, mutation.json_(random, content)
        chance = random.random()
        if chance < 0.3:
            return kind, mutation.bytes_(random, content)
        if chance < 0.6:
            return kind, _stretched(random, content)
        return kind, mutation.message(random, facts.CallsEnded, content)

    async def execute(self, script: Script) -> Hashable:
        kind, content = script if len(script) == 2 else (b"fact", b"".join(script))
        if kind != b"frame":
            return _judge("CallsEnded", content)
        kept = _journal(content)
        try:
            encoded = self._encoder.encode(content)
        except Exception as error:
            raise Finding.of("a range's frame failed in the encoder", error) from error
        return kept, encoded.type, _judge(encoded.type, encoded.payload)


def _stretched(random: Random, content: bytes) -> bytes:
    """Other numbers of calls, and times that no clock tells."""
    try:
        message = facts.CallsEnded.FromString(content)
    except DecodeError:
        return content
    n = random.choice((0, 1, 2, 17, CALLS_MAX, CALLS_MAX + 1))
    message.calls = random.randbytes(n * KEY_BYTES + random.choice((0, 0, 0, 1)))
    for field in (message.started_deltas_us, message.durations_us):
        del field[:]
        field.extend(
            random.choice(_LONG) for _ in range(random.choice((n, n, n, 0, max(n - 1, 0))))
        )
    message.count = random.choice((n, 0, -1, 2**31 - 1))
    return message.SerializeToString()


def _journal(frame: bytes) -> str:
    """A new attempt that finds it in its journal goes on, whatever it says."""
    try:
        said = json.loads(frame)
        calls = said.get("calls") if isinstance(said, dict) else None
        journal = Journal.of([frame], ResultReader([], ""))
        asked = packed_keys_of(calls)
        found = [journal.find(key) for key in asked]
        return f"{len(journal) > 0} {any(found)}"
    except (ValueError, RecursionError):
        return "no frame"
    except Exception as error:
        raise Finding.of("a journal with a range can't be read", error) from error


def packed_keys_of(calls: object) -> list[str]:
    """The first keys of a frame, as far as there are any."""
    return [calls[at : at + 32] for at in range(0, min(len(calls), 320), 32)] if isinstance(calls, str) else []  # fmt: skip


def _judge(type_: str, payload: bytes) -> Hashable:
    fact = Fact(type_, 1, AT_US, payload)
    try:
        taken = prepare(AttemptFacts(RUN, 1, 1, [fact]), EventIds(lambda: 1, os.urandom))
    except Exception as error:
        raise Finding.of("a range failed where it is taken in", error) from error
    if taken.bad:
        return "poison"
    if type_ != "CallsEnded":
        return type_
    try:
        rows: dict[Any, CallRow] = {}
        fold(parse([_recorded(fact)]), rows)
        (row,) = rows.values()
        return _told_apart(row, facts.CallsEnded.FromString(payload))
    except Finding:
        raise
    except Exception as error:
        raise Finding.of("a range that was admitted can't be read", error) from error


def _told_apart(row: CallRow, message: facts.CallsEnded) -> Hashable:
    if row.packed is None or not 0 < row.calls <= CALLS_MAX:
        raise Finding(f"a row for {row.calls} calls")
    members = list(packed_calls.unpack(row.packed, row.started_at))
    keys = packed_calls.packed_keys(row.packed)
    if [member.call for member in members] != keys or len(keys) not in (0, row.calls):
        raise Finding("not every call of a range is told apart")
    if any(member.ended_at < member.started_at for member in members):
        raise Finding("a call ends before it begins")
    times = [row.busy_us, row.median_us, row.longest_us]
    if any(time is not None and not 0 <= time <= _MOST_US for time in times):
        raise Finding("a time that no column holds")
    in_order = all(at >= 0 for at in accumulate(message.started_deltas_us))
    return bool(keys), row.median_us is None, in_order


def _recorded(fact: Fact) -> Recorded:
    return Recorded(
        Cursor(1, 1), 1, 0, Stream(StreamKind.ATTEMPT, RUN, 1), 1, fact.type, fact.schema_version, RUN, AT, AT, "agent", None, "",
        fact.payload, b"", lambda recorded: decode_any(recorded.type, recorded.schema_version, recorded.payload),
    )  # fmt: skip
