"""The results of runs that a run has started: the one place that knows where such a value may lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from headway import payloads
from headway.errors import ResultElsewhere
from headway.runtime.frames_log import read
from headway.runtime.results import ResultReader

SitOut = Callable[[float], None]
"""Lets so many seconds pass, or raises what keeps the caller from waiting."""
ChildResult = Callable[[str, int, SitOut], Any]
"""The value of a completed run, by its id and the fence of the attempt that completed it. Raises ResultElsewhere."""

PATIENCE_S = 60.0
"""How long the agent may take to get a value: the other one sends it to the store only when its run has ended."""
_LOOK_EVERY_S = 0.02

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


def beside(given: str | Path, store: str, *, has_store: bool) -> ChildResult:
    """Reads what the agent of this run has executed itself: its runs lie beside one another.

    `store`: the agent's own directory of values; `has_store`: it gets from its store of values what others have executed.
    """

    def result(run: str, fence: int, sit_out: SitOut) -> Any:
        run_dir = Path(given)
        runs = run_dir.parent.parent
        attempt = runs / str(UUID(run)) / str(int(fence))
        recorded = _recorded(attempt / "frames.log")
        if recorded is None:
            if not has_store:
                raise ResultElsewhere(
                    run, "it was executed by another agent, or its files were deleted here"
                )
            attempt, recorded = run_dir, _fetched(run_dir, run, fence, sit_out)
        found = ResultReader([attempt], store)(recorded)
        if found is None:
            raise ResultElsewhere(run, "its value could not be kept, or is damaged")
        return payloads.decode(found.payload)

    return result


def _fetched(run_dir: Path, run: str, fence: int, sit_out: SitOut) -> dict[str, Any]:
    """What the agent got, as a result that lies in this attempt's directory (see headway_agent.spool.run_results)."""
    wish = run_dir / "wanted" / f"{UUID(run)}.{int(fence)}"
    wish.parent.mkdir(mode=0o700, exist_ok=True)
    wish.touch(mode=0o600)
    answer = wish.with_name(f"{wish.name}.json")
    left = PATIENCE_S
    while not answer.exists():
        if left <= 0:
            raise ResultElsewhere(
                run,
                f"another agent executed it, and the store of results did not have it within {PATIENCE_S:.0f} s: does that"
                " agent use the same store? `headway agent doctor` tries it, and both agents' logs tell of it",
            )
        sit_out(_LOOK_EVERY_S)
        left -= _LOOK_EVERY_S
    found: dict[str, Any] = json.loads(answer.read_bytes())
    if "absent" in found:
        raise ResultElsewhere(run, str(found["absent"]))
    if found.get("codec") == "pickle":
        # Unpickling executes code, and who writes to the store says here what is read.
        raise ResultElsewhere(
            run,
            "another agent executed it, and it is pickled: a pickle is read only where it was made. Let that flow return"
            " something that a codec fits (headway.register_codec)",
        )
    return found


def nowhere(run: str, _fence: int, _sit_out: SitOut) -> Any:
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
