"""What a supervisor takes in: the flow's frames become facts and lines, and what they say of the attempt is remembered."""

from __future__ import annotations

from collections import deque
from typing import Any
from uuid import UUID

from headway.runtime import clock
from headway.runtime.decisions import HeldStarts
from headway.runtime.framing import parse
from headway.runtime.output import cut_text
from headway.runtime.ranges import FOLD_FROM, Folding
from headway.runtime.redaction import Redactor
from headway.runtime.secret_frames import announced
from headway.runtime.store import Store

OUTPUTS = frozenset({"artifact.saved", "metrics.recorded", "event.emitted", "variable.written"})
FACTS = OUTPUTS | {
    "attempt.started",
    "call.started",
    "call.retrying",
    "call.ended",
    "run.requested",
    "wait.started",
    "attempt.ended",
}
OUTCOMES = ("completed", "failed", "cancelled", "refused", "suspended")
MOST_WORD = 255  # characters of what stands beside a line's text
# Facts that others follow soon, in a short attempt its last one: together they are one sync, one hint, one batch.
FOLLOWED = frozenset({"attempt.started", "attempt.ended"})
# So long, too, ends of calls are held to become ranges, once as many as make one have come within that time. A supervisor
# that is killed takes what it holds with it: then each of those took a millisecond or so. Calls that come slower never wait.
TOGETHER = 0.02
END_OF_TIME_US = 7_029 * 365 * 24 * 3600 * 1_000_000  # some years before 8999
CALL = 32  # hex digits
MOST_TIMEOUT_US = 400 * 24 * 3600 * 1_000_000  # beyond, no timer of the system would take it


class Intake:
    """Hands facts and lines to the store. Times are of the monotonic clock, in seconds, but where a name says otherwise.

    `ended` is the flow's own word of its end, empty until it comes; `hooks` the outcomes that it has hooks for;
    `time_up_at` when the time of the attempt is up; `save_at` when facts that were taken in should be made durable;
    `to_confirm` the calls that wait for that; `idle` whether the flow process offers to take another run.
    With `ranges`, quick calls of one name become one fact.
    """

    def __init__(
        self, store: Store, started_at_us: int, redactor: Redactor, *, ranges: bool = False
    ) -> None:
        self._store = store
        self.redactor = redactor
        self._held = HeldStarts()
        self._folding = Folding() if ranges else None
        self._last_ends: deque[float] = deque(maxlen=FOLD_FROM)
        self.started_at_us = started_at_us
        self.hooks: frozenset[str] = frozenset()
        self.ended: dict[str, Any] = {}
        self.timeout_s = 0.0
        self.time_up_at: float | None = None
        self.save_at: float | None = None
        self.to_confirm: list[str] = []
        self.idle = False
        self.files: dict[str, Any] = {}
        """The user's files that the flow process has imported: their state then, as `files` tells it."""

    def take(self, raw: bytes, now: float) -> None:
        """One frame. What is none, or says what nobody knows, is noted and left out."""
        frame = parse(raw)
        if frame is None:
            self.note(
                "A frame of the flow process was not a JSON object with a type; it was left out."
            )
            return
        kind = frame["type"]
        if kind == "secret":
            self._take_secret(frame)
            return
        if kind == "idle":
            self.idle = True
            self.files = imported(frame)
            return
        raw, frame = self.redactor.frame(raw, frame)
        if kind == "log":
            self._take_log(frame)
        elif kind == "attempt.ended" and frame.get("outcome") not in OUTCOMES:
            # It decides what becomes of the run: without a word that everybody knows it would decide nothing.
            self.note("A frame of the flow process did not say how the flow ended; left out.")
        elif kind == "run.requested" and not _names_a_run(frame):
            self.note("A frame of the flow process asked for a run and did not name it; left out.")
        elif kind in FACTS:
            self._take_fact(kind, frame, now)
            if not self._fold(frame, raw, now):
                self._append(kind, self._held.pass_on(now, frame, raw), now)

    def lines(self, source: str, lines: list[str]) -> None:
        """What the flow printed."""
        now_us = clock.now_us()
        for text in lines:
            shown = self.redactor.text(text)
            self._store.output.add(at_us=now_us, source=source, level="INFO", text=shown)

    def note(self, text: str) -> None:
        """A word of the supervisor's own, among the attempt's lines."""
        self._store.output.add(
            at_us=clock.now_us(),
            source="log",
            level="ERROR",
            text=text,
            logger="headway.supervisor",
        )

    def next_start_at(self) -> float | None:
        """When a call's start that is held back becomes a fact."""
        return self._held.deadline()

    def let_starts_go(self, now: float) -> bool:
        """Makes facts of the starts that were held back for long enough; whether there were any."""
        due = self._held.due(now)
        self._store.writer.append(due)
        return bool(due)

    def let_all_starts_go(self) -> None:
        self._store.writer.append(self._held.release_all())

    def let_ranges_go(self) -> None:
        """Makes facts of the ends that are held: before what was taken in is made durable."""
        if self._folding is not None:
            self._store.writer.append(self._folding.release())

    def _fold(self, frame: dict[str, Any], raw: bytes, now: float) -> bool:
        """Holds the end of a quick call. Whatever tells of the attempt, or of a call around, comes behind it."""
        if self._folding is None:
            return False
        kind, call = frame["type"], str(frame.get("call", ""))
        # Of a call that ended without having begun, skipped for its result is there, no start was told either.
        untold = self._held.holds(call) or frame.get("outcome") == "skipped"
        if kind == "call.ended" and untold and self._folding.take(frame, raw):
            self._store.writer.append(self._held.pass_on(now, frame, raw)[:-1])
            if self._folding.is_full:
                self.let_ranges_go()
            self._save_by(now + TOGETHER if self._is_burst(now) else now)
            return True
        if not kind.startswith("call.") or self._folding.lies_in(call):
            self.let_ranges_go()
        return False

    def _is_burst(self, now: float) -> bool:
        """Whether quick calls come so fast that one range would tell of them."""
        self._last_ends.append(now)
        return len(self._last_ends) == FOLD_FROM and now - self._last_ends[0] <= TOGETHER

    def _append(self, kind: str, facts: list[bytes], now: float) -> None:
        self._store.writer.append(facts)
        if facts:
            self._save_by(now + TOGETHER if kind in FOLLOWED else now)

    def _save_by(self, until: float) -> None:
        self.save_at = until if self.save_at is None else min(until, self.save_at)

    def _take_fact(self, kind: str, frame: dict[str, Any], now: float) -> None:
        if kind == "attempt.started":
            self.started_at_us = instant(frame) or self.started_at_us
            self.hooks = frozenset(filter(_is_text, frame.get("hooks") or ()))
            timeout_us = frame.get("timeout_us")
            if type(timeout_us) is int and 0 < timeout_us <= MOST_TIMEOUT_US:
                self.timeout_s = timeout_us / 1e6
                self.time_up_at = now + self.timeout_s
        elif kind == "attempt.ended":
            self.ended = frame
        elif frame.get("durable") == "sync":
            self.to_confirm.append(frame.get("call", ""))

    def _take_secret(self, frame: dict[str, Any]) -> None:
        """Known from here on; the answer, which the flow waits for, is that of a durable fact."""
        try:
            self.redactor.add(*announced(frame))
        except (KeyError, TypeError, ValueError):
            self.note("A frame of the flow process named no secret; it was left out.")
        self.to_confirm.append(str(frame.get("call", "")))

    def _take_log(self, frame: dict[str, Any]) -> None:
        self._store.output.add(
            at_us=instant(frame),
            source="log",
            level=str(frame.get("level", "INFO"))[:MOST_WORD],
            call=str(frame.get("call", ""))[:MOST_WORD],
            text=cut_text(str(frame.get("text", ""))),
            logger=str(frame.get("logger", ""))[:MOST_WORD],
        )


def instant(frame: dict[str, Any]) -> int:
    """A frame's time in microseconds since 1970; 0 where it tells none."""
    at_us = frame.get("at_us")
    return at_us if type(at_us) is int and 0 <= at_us < 1 << 63 else 0


def _names_a_run(frame: dict[str, Any]) -> bool:
    """Else the control plane would take no more facts of the attempt."""
    call, run, due_us = frame.get("call"), frame.get("run"), frame.get("due_us", 0)
    if not (isinstance(call, str) and isinstance(run, str) and len(call) == CALL):
        return False
    try:
        UUID(run)
        bytes.fromhex(call)
    except ValueError:
        return False
    return type(due_us) is int and 0 <= due_us < END_OF_TIME_US


def imported(frame: dict[str, Any]) -> dict[str, Any]:
    files = frame.get("files")
    return files if isinstance(files, dict) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str)
