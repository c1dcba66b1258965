"""Small nested parts of a run as JSON, for the columns that hold them: waits, the cut of a fork."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.run.state import Fork


def dump_waits(waits: Sequence[Waiting]) -> bytes:
    """Empty for none, as most runs have."""
    return _dump(
        [
            {
                "call": wait.call.hex(),
                "kind": wait.kind,
                "name": wait.name,
                "topic": wait.topic.hex(),
                "until": wait.until.isoformat() if wait.until else None,
                "request": wait.request.hex(),
            }
            | ({"run": str(wait.run)} if wait.run else {})
            for wait in waits
        ]
    )


@lru_cache(maxsize=16)  # a run that waits for five hundred others is loaded with each end of one
def load_waits(column: bytes) -> tuple[Waiting, ...]:
    return tuple(
        Waiting(
            call=bytes.fromhex(item["call"]),
            kind=item["kind"],
            name=item["name"],
            topic=bytes.fromhex(item["topic"]),
            until=datetime.fromisoformat(item["until"]) if item["until"] else None,
            request=bytes.fromhex(item["request"]),
            run=UUID(item["run"]) if "run" in item else None,
        )
        for item in _load(column, [])
    )


def dump_fork(fork: Fork | None) -> bytes:
    if fork is None:
        return b""
    return _dump(
        {
            "verb": fork.verb,
            "call": fork.call.hex(),
            "around": [call.hex() for call in fork.around],
            "cut_at": fork.cut_at.isoformat() if fork.cut_at else None,
        }
    )


def load_fork(column: bytes) -> Fork | None:
    item = _load(column, None)
    if item is None:
        return None
    return Fork(
        verb=item["verb"],
        call=bytes.fromhex(item["call"]),
        around=tuple(bytes.fromhex(call) for call in item["around"]),
        cut_at=datetime.fromisoformat(item["cut_at"]) if item["cut_at"] else None,
    )


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() if value else b""


def _load(column: bytes, otherwise: Any) -> Any:
    return json.loads(column) if column else otherwise
