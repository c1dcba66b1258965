"""The results of runs that a run has started: the one place that knows where such a value may lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from headway import payloads
from headway.errors import ResultElsewhere
from headway.runtime.frames_log import read
from headway.runtime.results import ResultReader

ChildResult = Callable[[str, int], Any]
"""The value of a completed run, by its id and the fence of the attempt that completed it. Raises ResultElsewhere."""


_RANDOM_BITS = 74


def child_id(run: str, call: str, at_us: int) -> str:
    """The id of the one run that a call of this run asks for: a UUIDv7 of when it first does, told apart by run and call."""
    asked = UUID(run).bytes + bytes.fromhex(call)
    digest = int.from_bytes(hashlib.sha256(asked).digest(), "big") >> 256 - _RANDOM_BITS
    random_a, random_b = digest >> 62, digest & (1 << 62) - 1
    number = at_us // 1000 << 80 | 7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    return str(UUID(int=number))


def is_child_id(child: str, run: str, call: str) -> bool:
    """Whether that is how this very run names what the call asks for: a run that it was made from named another."""
    return child == child_id(run, call, (UUID(child).int >> 80) * 1000)


def beside(run_dir: Path, store: str) -> ChildResult:
    """Reads what the agent of this run has executed itself: its runs lie beside one another."""
    runs = run_dir.parent.parent

    def result(run: str, fence: int) -> Any:
        attempt = runs / str(UUID(run)) / str(int(fence))
        recorded = _recorded(attempt / "frames.log")
        if recorded is None:
            raise ResultElsewhere(
                run, "it was executed by another agent, or its files were deleted here"
            )
        found = ResultReader([attempt], store)(recorded)
        if found is None:
            raise ResultElsewhere(run, "its value could not be kept, or is damaged")
        return payloads.decode(found.payload)

    return result


def nowhere(run: str, _fence: int) -> Any:
    raise ResultElsewhere(run, "this process has no files of runs")


def _recorded(log: Path) -> dict[str, Any] | None:
    """What the attempt's flow returned, as its journal describes it."""
    result = None
    try:
        for _, frame in read(log):
            if frame.get("type") == "attempt.ended" and frame.get("outcome") == "completed":
                result = frame.get("result")
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None
