"""Where the loops meet: the state of the pure cores, and the one place that carries their effects to the loops.

All of it happens in one event loop and none of it waits, so a step and its effects are never torn apart.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from headway_agent.clock import Clock
from headway_agent.connection import messages
from headway_agent.connection.encoder import Encoder
from headway_agent.connection.messages import Introduction, Witness
from headway_agent.connection.permits import NOTHING
from headway_agent.core import cancel, lines, resume, session
from headway_agent.core.attempt import Attempt
from headway_agent.core.cancel import Cancels
from headway_agent.core.lines import Lines
from headway_agent.core.resume import Reporting
from headway_agent.core.session import Rules, Session
from headway_agent.loops.outbox import Outbox
from headway_agent.loops.ports import Random
from headway_agent.runner.api import Answer, Assignment, AttemptKey, Attempts, Held

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Resume:
    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Cancel:
    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Kill:
    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Close:
    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Forget:
    run: str


Action = Start | Resume | Cancel | Kill | Close | Forget


@dataclass(slots=True)
class Noted:
    """Acknowledgements that are not yet in agent.db, the newest of each kind."""

    seqs: dict[Attempt, int] = field(default_factory=dict)
    lines: dict[Attempt, int] = field(default_factory=dict)
    witness: Witness | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    writing: bool = False

    @property
    def settled(self) -> bool:
        return not (self.writing or self.seqs or self.lines)


class Hub:
    def __init__(
        self, rules: Rules, who: Introduction, attempts: Attempts, clock: Clock, random: Random
    ) -> None:
        self.who = who
        self.attempts = attempts
        self.clock = clock
        self.random = random
        self.session = Session(rules)
        self.reporting = Reporting()
        self.lines = Lines()
        self.cancels = Cancels()
        self.encoder = Encoder(NOTHING)
        self.results_url = ""
        """Of the store of results, where there is one."""
        self.outbox = Outbox()
        self.noted = Noted()
        self.actions: asyncio.Queue[Action] = asyncio.Queue()
        # The runner has, or wrote down, something new; the watch loop looks.
        self.changed = asyncio.Event()
        # Set when something changed for that loop, and only then: to wake one costs more than to step. Each clears its own.
        self.dial = asyncio.Event()
        self.time_changed = asyncio.Event()
        self.report_wake = asyncio.Event()
        self.lines_wake = asyncio.Event()
        # Why the present stream has to go; the session loop watches it.
        self.close_asked = asyncio.Event()
        self.close_reason = ""
        self.ended = asyncio.Event()
        # Called after each step of session and reporting, when there is somebody who keeps a history.
        self.after_step: Callable[[], None] | None = None
        # When time has to pass next for one of the cores, and when it had to as the renew loop was told last.
        self._due: float | None = None
        self._granted: dict[Attempt, Assignment] = {}
        self._graces: dict[Attempt, float] = {}
        self._closing: set[Attempt] = set()
        # Given to the runner, which does not show them yet.
        self._starting: set[Attempt] = set()
        self._early: dict[Attempt, list[Answer]] = {}

    # Inputs -------------------------------------------------------------------------------------------

    def tell_session(self, given: session.Input) -> None:
        self.session, effects = session.step(self.session, self.clock.boottime(), given)
        for effect in effects:
            self._carry(effect)
        self._tell_time()
        self._stepped()

    def tell_reporting(self, given: resume.Input) -> None:
        before = self.reporting
        self.reporting, effects = resume.step(self.reporting, self.clock.boottime(), given)
        for effect in effects:
            self._carry_report(effect)
        if self.reporting is not before:
            self.report_wake.set()
            self.lines_wake.set()
        self._stepped()

    def tell_lines(self, given: lines.Input) -> None:
        before = self.lines
        self.lines, effects = lines.step(self.lines, given)
        for effect in effects:
            self.noted.lines[effect.attempt] = effect.line
            self.noted.wake.set()
        if self.lines is not before:
            self.lines_wake.set()
            self.report_wake.set()

    def tell_cancels(self, given: cancel.Input) -> None:
        self.cancels, effects = cancel.step(self.cancels, self.clock.boottime(), given)
        for effect in effects:
            key = AttemptKey(*effect.attempt)
            self.act(Cancel(key) if isinstance(effect, cancel.Cooperate) else Kill(key))
        self._tell_time()

    def granted(self, assignment: Assignment) -> None:
        """An Assign arrived."""
        attempt = assignment.key
        grace_us = assignment.cancel_grace_us + assignment.kill_grace_us
        self._graces[attempt] = grace_us / 1_000_000
        self._granted.setdefault(attempt, assignment)
        self.tell_session(session.Assigned(attempt))

    def cancel_asked(self, attempt: Attempt, reason: str) -> None:
        """A cancel arrived, by itself or with Welcome."""
        known = attempt in self.session.held
        here = known and attempt not in self._starting
        if not known and attempt not in self.session.deferred:
            log.info("cancel of an attempt that is not here", extra=_ids(attempt))
            return
        log.info("cancel", extra={**_ids(attempt), "reason": reason})
        grace = self._graces.get(attempt, UNKNOWN_GRACE)
        self.tell_cancels(cancel.Asked(attempt, grace, started=here))

    def is_cancelled(self, attempt: Attempt) -> bool:
        """Whether a cancel came before the start."""
        return attempt in self.cancels.early

    def answered(self, attempt: AttemptKey, answer: Answer) -> None:
        """An answer arrived. It is told once on a stream: one that comes ahead of its attempt's start waits for that. Raises OSError."""
        if attempt in self._starting or attempt in self.session.deferred:
            self._early.setdefault(attempt, []).append(answer)
        else:
            self.attempts.keep_answer(attempt, answer)

    def started(self, attempt: AttemptKey) -> None:
        """The runner has the attempt on record. Raises OSError where an answer that came early cannot be kept."""
        for answer in self._early.get(attempt, ()):
            self.attempts.keep_answer(attempt, answer)
        self._early.pop(attempt, None)
        self._starting.discard(attempt)
        self.tell_cancels(cancel.Started(attempt))

    def give_up(self, reason: str) -> None:
        """Has the session loop end the present stream."""
        self.close_reason = reason
        self.close_asked.set()

    def restored(self) -> None:
        """The log has another epoch; the runner has opened anew what it keeps."""
        self._closing.clear()
        self.tell_reporting(resume.Restored())
        self.tell_lines(lines.Restored())
        self.look()

    def look(self) -> None:
        """Takes in what the runner holds now."""
        held = self.attempts.held()
        here = [h for h in held if h.state != "closed"]
        all_held: frozenset[Attempt] = frozenset({*(h.key for h in here), *self._starting})
        busy = (h.key for h in here if h.state == "assigned" or _executes(h))
        running: frozenset[Attempt] = frozenset({*busy, *self._starting})
        flushed = self.noted.settled and all(
            h.acked_seq >= h.last_seq and h.acked_line >= h.last_line for h in here
        )
        waiting = {*self.session.deferred}
        self._granted = {k: v for k, v in self._granted.items() if k in waiting}
        self._graces = {k: v for k, v in self._graces.items() if k in all_held or k in waiting}
        self._closing &= all_held
        self._early = {k: v for k, v in self._early.items() if k in self._starting | waiting}
        self.tell_reporting(
            resume.Holding(
                tuple(resume.Have(h.key, h.last_seq, h.acked_seq, h.alive) for h in held)
            )
        )
        self.tell_lines(
            lines.Holding(tuple(lines.Have(h.key, h.last_line, h.acked_line) for h in held))
        )
        self.tell_cancels(cancel.Running(frozenset(h.key for h in held if h.alive)))
        self.tell_session(session.Holding(all_held, running, flushed=flushed))

    def act(self, action: Action) -> None:
        self.actions.put_nowait(action)

    def due_at(self) -> float | None:
        """When a Tick is due, on the boot-time clock; None: not before something else happens."""
        due = (session.wake_at(self.session), cancel.wake_at(self.cancels))
        at = min((t for t in due if t is not None), default=math.inf)
        return None if at == math.inf else at

    # Effects ------------------------------------------------------------------------------------------

    def _tell_time(self) -> None:
        due = self.due_at()
        if due != self._due:
            self._due = due
            self.time_changed.set()

    def _stepped(self) -> None:
        if self.after_step is not None:
            self.after_step()

    def _carry(self, effect: session.Effect) -> None:
        match effect:
            case session.Dial():
                self.dial.set()
            case session.Close(reason):
                self.give_up(reason)
            case session.SendRenew(number):
                self.outbox.put_urgent(messages.renew(number))
            case session.SendSlots(slots):
                self.outbox.put_urgent(messages.slots(slots))
            case session.SendGoodbye(reason, handover):
                self.outbox.put_urgent(messages.goodbye(reason, handover=handover))
            case session.Start(attempt):
                self._starting.add(attempt)
                self.act(Start(self._granted.pop(attempt)))
            case session.Ignore(attempt, reason):
                log.info("grant not taken: %s", reason, extra=_ids(attempt))
            case session.End(reason):
                log.info("ending: %s", reason)
                self.outbox.end()
                self.ended.set()
                self.dial.set()

    def _carry_report(self, effect: resume.Effect) -> None:
        match effect:
            case resume.Record(attempt, seq):
                self.noted.seqs[attempt] = seq
                self.noted.wake.set()
            case resume.Kill(attempt):
                log.warning("fenced: a newer attempt took over", extra=_ids(attempt))
                self.act(Kill(AttemptKey(*attempt)))
            case resume.Close(attempt, reason):
                if attempt not in self._closing:
                    self._closing.add(attempt)
                    log.warning("attempt closed: %s", reason, extra=_ids(attempt))
                    self.act(Close(AttemptKey(*attempt)))
            case resume.Warn(attempt, text):
                log.warning("%s", text, extra=_ids(attempt))


UNKNOWN_GRACE = math.inf
"""Of an attempt that was adopted: its assignment is not at hand, so its supervisor is trusted to end it alone."""


def _executes(held: Held) -> bool:
    return held.alive and held.state == "running"


def _ids(attempt: Attempt) -> dict[str, object]:
    return {"run": attempt[0], "fence": attempt[1]}
