"""What goes wrong in a seed's world: each seed draws its own mixture, and leaves some faults out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random

KINDS = (
    "message delayed",
    "message delayed long",
    "stream cut",
    "stream half open",
    "link stalled",
    "replica unreachable",
    "hint lost",
    "hint doubled",
    "hint late",
    "commit unknown, kept",
    "commit unknown, lost",
    "commit aborted",
    "statement failed",
    "statement late",
    "grant late",
    "answer lost",
    "database away",
    "replica cut off from the database",
    "replica crashed",
    "replica retired",
    "replica frozen",
    "agent killed",
    "agent drained",
    "agent frozen",
    "host suspended",
    "host power cut",
    "unsynced write lost",
    "wall clock stepped",
    "supervisor killed",
    "flow crashed",
    "flow failed",
    "flow ignores cancel",
    "agents cut off together",
    "stream moved by rotation",
    "flow suspended",
    "run answered",
    "flow paused",
    "pause answered",
    "range told",
    "run asked for",
    "child made",
    "parent moved",
    "child found again",
    "child refused",
    "child abandoned",
    "parent answered",
    "earlier process refused",
    "client retried",
    "run cancelled",
    # What they lead to; among it every move of the run table that can come about here.
    "session lost",
    "run given away",
    "run granted ahead",
    "slot handed on in its flush",
    "grant ahead refused",
    "attempt taken up again",
    "late fact kept",
    "task skipped",
    "shard taken over",
    "new > RunCreated",
    "scheduled > RunGranted",
    "scheduled > RunReattached",
    "scheduled > RunCancelRequested",
    "open > RunStarted",
    "open > RunReattached",
    "open > RunRescheduled",
    "open > RunPaused",
    "open > RunSuspended",
    "open > RunAsked",
    "open > RunAnswered",
    "open > RunCancelRequested",
    "open > RunCompleted",
    "open > RunFailed",
    "open > RunCrashed",
    "suspended > RunResumed",
    "suspended > RunAnswered",
    "suspended > RunCancelRequested",
    "cancelling > RunCancelled",
    "cancelling > RunCompleted",
)
# Too rare for a few dozen seeds, or of the liveness mode alone; `run.py --coverage` asks for them as well.
RARE = (
    "paused > RunReattached",
    "paused > RunResumed",
    "paused > RunCancelRequested",
    "scheduled > RunRescheduled",
    "scheduled > RunAnswered",
    "paused > RunAnswered",
    "cancelling > RunStarted",
    "cancelling > RunReattached",
)


@dataclass
class Faults:
    """Probabilities per occasion, and mean seconds between events (0: never)."""

    slow: float = 0.0
    very_slow: float = 0.0
    cut_every: float = 0.0
    stall_every: float = 0.0
    unreachable: float = 0.0
    hint_trouble: float = 0.0
    commit_unknown: float = 0.0
    commit_abort: float = 0.0
    statement: float = 0.0
    away_every: float = 0.0
    late_grant: float = 0.0
    apart_every: float = 0.0
    replica_crash_every: float = 0.0
    replica_freeze_every: float = 0.0
    agent_kill_every: float = 0.0
    agent_drain_every: float = 0.0
    replica_retire_every: float = 0.0
    agent_freeze_every: float = 0.0
    suspend_every: float = 0.0
    power_cut_every: float = 0.0
    power_cut_at_write: float = 0.0
    clock_step_every: float = 0.0
    supervisor_kill_every: float = 0.0
    flow_crash: float = 0.0
    flow_failure: float = 0.0
    stubborn: float = 0.0
    storm_every: float = 0.0
    drift: float = 0.0
    cancel: float = 0.0
    suspend: float = 0.0
    children: float = 0.0
    pause: float = 0.0
    ranges: float = 0.0

    def heal(self) -> None:
        """From now on nothing goes wrong any more, but clocks keep their rate and flows their nature."""
        lasting = {
            "drift",
            "flow_crash",
            "flow_failure",
            "stubborn",
            "cancel",
            "suspend",
            "children",
            "pause",
            "ranges",
        }
        for field in fields(self):
            if field.name not in lasting:
                setattr(self, field.name, 0.0)


_RANGES: dict[str, tuple[float, float]] = {
    "slow": (0.01, 0.2),
    "very_slow": (0.001, 0.02),
    "cut_every": (60, 900),
    "stall_every": (60, 900),
    "unreachable": (0.05, 0.4),
    "hint_trouble": (0.1, 1.0),
    "commit_unknown": (0.005, 0.1),
    "commit_abort": (0.005, 0.1),
    "statement": (0.005, 0.05),
    "away_every": (200, 1200),
    "late_grant": (0.02, 0.3),
    "apart_every": (60, 900),
    "replica_crash_every": (200, 1500),
    "replica_freeze_every": (100, 900),
    "agent_kill_every": (100, 1200),
    "agent_drain_every": (100, 1200),
    "replica_retire_every": (200, 1500),
    "agent_freeze_every": (60, 900),
    "suspend_every": (100, 1200),
    "power_cut_every": (200, 1500),
    "power_cut_at_write": (0.002, 0.03),
    "clock_step_every": (100, 900),
    "supervisor_kill_every": (20, 300),
    "flow_crash": (0.01, 0.2),
    "flow_failure": (0.01, 0.3),
    "stubborn": (0.3, 0.9),
    "storm_every": (60, 400),
    "drift": (0.001, 0.05),
    "cancel": (0.1, 0.5),
    "suspend": (0.1, 0.8),
    "children": (0.1, 0.6),
    "pause": (0.1, 0.5),
    "ranges": (0.2, 0.8),
}


def draw(random: Random) -> Faults:
    """A mixture: a quiet world now and then, mostly some faults of many kinds."""
    share = random.choice((0.0, 0.2, 0.4, 0.4, 0.7))
    faults = Faults()
    for name, (low, high) in _RANGES.items():
        value = random.uniform(low, high)
        if random.random() < share:
            setattr(faults, name, value)
    return faults
