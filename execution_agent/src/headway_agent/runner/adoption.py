"""What to do with an attempt, judged from its files alone. Pure, and asked again whenever something may have changed."""

from dataclasses import dataclass
from typing import Any, Literal

Log = Literal["absent", "open", "exited"]
Step = Literal["start", "watch", "report", "close"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """`log`: no frames.log, one without the last fact, or one with it. `writer_alive`: its lock is held."""

    log: Log
    writer_alive: bool


def next_step(evidence: Evidence) -> Step:
    """`start`: nothing ever ran. `watch`: its supervisor lives. `report`: all is told. `close`: the supervisor is gone
    and told nothing; make sure that everything it started is dead, then write the last fact for it. Never a second start.
    """
    match evidence.log:
        case "absent":
            return "start"
        case "exited":
            return "report"
        case "open":
            return "watch" if evidence.writer_alive else "close"


def lost(
    starting: dict[str, Any] | None,
    ended: dict[str, Any] | None,
    *,
    boot_id: str,
    lines: int,
    now_us: int,
) -> dict[str, Any]:
    """`attempt.exited` of an attempt whose supervisor was lost. What the flow said of its end stands."""
    starting = starting or {}
    ended = ended or {}
    restarted = bool(starting.get("boot_id")) and starting["boot_id"] != boot_id
    frame = {
        "type": "attempt.exited",
        "at_us": now_us,
        "outcome": ended.get("outcome", "crashed"),
        "cause": "host restarted" if restarted else "supervisor lost",
        "lines": lines,
        "started_at_us": starting.get("at_us", now_us),
    }
    return frame | {name: ended[name] for name in ("result", "error", "waits") if name in ended}


def never_started(
    outcome: str, cause: str, error: Exception | None = None, *, now_us: int
) -> dict[str, Any]:
    """The one fact of an attempt that this agent did not start."""
    frame = {
        "type": "attempt.exited",
        "at_us": now_us,
        "outcome": outcome,
        "cause": cause,
        "lines": 0,
        "started_at_us": now_us,
    }
    if error is not None:
        frame["error"] = {"class": type(error).__name__, "message": str(error), "traceback": []}
    return frame
