"""One trial of a fault test: what really happened, and what was found to hold. A trial whose fault never happened proves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

INVARIANTS = {
    1: "1 gapless",
    2: "2 durable",
    3: "3 unique",
    4: "4 stream order",
    5: "5 legal",
    6: "6 fence",
    7: "7 single holder",
    8: "8 slots",
    9: "9 projection == replay",
    10: "10 chain",
    11: "11 subscription",
    12: "12 liveness",
    13: "13 isolation",
    14: "14 boundary",
    15: "15 coverage",
}
"""As ENGINEERING lists them; tests record their verdicts under these names."""

KILL = "kill -9 "
"""What the names of faults begin with whose number the report sums up."""


class Trial:
    """Fixture `trial` of tests in tests/faults. Verdicts are gathered; `conclude` fails with all of them."""

    def __init__(self, row: int) -> None:
        self.row = row
        self.faults: Counter[str] = Counter()
        self.verdicts: dict[str, list[str]] = {}

    def happened(self, fault: str, times: int = 1) -> None:
        """Count a fault that was seen to happen."""
        self.faults[fault] += times

    def holds(self, invariant: str, violations: Iterable[object] = ()) -> None:
        """Record what was found to contradict an invariant: nothing is the proof. May be called more than once for one."""
        self.verdicts.setdefault(invariant, []).extend(str(each) for each in violations)

    def conclude(self) -> None:
        """Called when the test's body is through."""
        happened = sum(self.faults.values())
        self.holds(INVARIANTS[15], () if happened else ["no fault has happened"])
        broken = {name: found for name, found in self.verdicts.items() if found}
        assert not broken, "\n".join(
            f"invariant {name}: {each}" for name, found in broken.items() for each in found
        )

    def as_json(self) -> dict[str, object]:
        """What the report needs; crosses from a worker to the process that prints."""
        return {
            "row": self.row,
            "faults": dict(self.faults),
            "verdicts": {name: len(found) for name, found in self.verdicts.items()},
        }
