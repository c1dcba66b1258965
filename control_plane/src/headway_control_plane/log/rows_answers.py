"""The rows `run_answer`: what was answered to the waits of a run, one row each, so that an answer costs the same however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway_control_plane.domain.run.state import RunState
from headway_control_plane.log.row_table import RowTable

Row = tuple[Any, ...]
Answers = tuple[tuple[bytes, bytes], ...]

ANSWERS = RowTable(
    "run_answer",
    ("ws", "run", "call"),
    {"ws": "int8", "run": "uuid", "call": "bytes", "digest": "bytes"},
)
# Of a run `r`, beside its row; most wait for nothing, and cost no look here.
JOIN_ANSWERS = (
    "CROSS JOIN LATERAL (SELECT array_agg(x.call) AS calls, array_agg(x.digest) AS digests "
    "FROM run_answer x WHERE r.waits <> '' AND x.ws = r.ws AND x.run = r.run) AS given"
)
SELECTED = "given.calls, given.digests"


def read_answers(calls: Sequence[bytes] | None, digests: Sequence[bytes] | None) -> Answers:
    """Return pairs of a wait's call and the digest of its answer; of none, the arrays are NULL."""
    return tuple(zip(map(bytes, calls or ()), map(bytes, digests or ()), strict=True))


def moved_answers(ws: int, run: RunState, before: RunState | None) -> tuple[list[Row], list[Row]]:
    """Return the rows to write, and the keys of those to delete. `before`: as the rows have it."""
    known = before.answers if before is not None else ()
    if run.answers == known:
        return [], []
    kept, calls = set(known), {call for call, _ in run.answers}
    written = [(ws, run.run, *answer) for answer in run.answers if answer not in kept]
    return written, [(ws, run.run, call) for call, _ in known if call not in calls]
