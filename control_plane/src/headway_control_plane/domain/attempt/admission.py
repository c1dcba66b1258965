"""Admits facts by ranges: which of an attempt's consecutive facts are new, known, out of order or too late.

The guard (`last_seq`, the run's fence) was read under the workspace's head lock, so nobody moves it meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headway_control_plane.domain.run.state import AttemptState


class Verdict(StrEnum):
    OK = "ok"
    GAP = "gap"
    FENCED = "fenced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Admission:
    """Of `count` facts the first `skip` are known, the next `accept` go into the log. `last_seq` is the attempt's newest afterwards."""

    verdict: Verdict
    skip: int
    accept: int
    last_seq: int


def admit(attempt: AttemptState | None, run_fence: int, first_seq: int, count: int) -> Admission:
    """Judges facts first_seq, first_seq + 1, ... (seq starts at 1).

    FENCED covers an attempt that is not the run's newest and one that was closed without its end: what it still sends is kept as late.
    """
    if attempt is None:
        return Admission(Verdict.UNKNOWN, 0, 0, 0)
    known = attempt.last_seq
    skip = min(count, max(0, known + 1 - first_seq))
    if skip == count:
        return Admission(Verdict.OK, count, 0, known)
    if attempt.fence != run_fence or not attempt.is_open:
        return Admission(Verdict.FENCED, skip, 0, known)
    if first_seq > known + 1:
        return Admission(Verdict.GAP, 0, 0, known)
    return Admission(Verdict.OK, skip, count - skip, known + count - skip)
