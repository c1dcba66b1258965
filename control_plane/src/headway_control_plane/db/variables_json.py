"""The entries of a workspace's variables as JSON, for the column that holds them."""

from __future__ import annotations

import json
from datetime import datetime

from headway_control_plane.domain.streams import Blob
from headway_control_plane.domain.variables.state import Variable, VariablesState


def dump_entries(state: VariablesState) -> bytes:
    entries = {
        name: [
            entry.value.digest.hex(),
            entry.size_bytes,
            list(entry.tags),
            entry.version,
            entry.set_at.isoformat(),
        ]
        for name, entry in state.entries.items()
    }
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()


def load_entries(column: bytes) -> dict[str, Variable]:
    return {
        name: Variable(
            Blob(bytes.fromhex(digest)), size, tuple(tags), version, datetime.fromisoformat(at)
        )
        for name, (digest, size, tags, version, at) in json.loads(bytes(column)).items()
    }
