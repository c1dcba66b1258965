"""What a run that is made from another executes again, and what it keeps: the one rule, for the preview and for the cut.

The SDK carries the cut out over the journal (`headway.runtime.journal`); here it is computed over the same facts as the log has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from headway_control_plane.domain.errors import InvalidArgument, InvalidState
from headway_control_plane.domain.run.asked import BY_DIGEST, AskedRun, taken
from headway_control_plane.domain.run.state import Fork

_WITHHELD = datetime(
    1970, 1, 1, tzinfo=UTC
)  # what an instant is where the pool does not permit timings


class Verb(StrEnum):
    RESUME = "resume"  # what has no completion
    RETRY = "retry"  # one call
    RERUN = "rerun"  # one call, and what began then or later


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What one attempt said of a call. `kept`: it has a result that a later attempt can take; `executed` here, not skipped."""

    call: bytes
    parent: bytes
    name: str
    kind: str
    status: str
    kept: bool
    executed: bool
    began: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """A call over all attempts: its newest result, when that was made, and since when somebody may have taken one of it."""

    facts: CallFacts
    began: datetime
    first_began: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """`executes`: certainly, if the flow comes to them again. `attaches`: those whose run is there and is taken. `may`: those that
    are given other values than before. `keeps`: certainly not. In the order in which they began. `runs`: what calls have asked for.
    """

    cut: Fork
    executes: tuple[CallFacts, ...]
    attaches: tuple[CallFacts, ...]
    may: tuple[CallFacts, ...]
    keeps: tuple[CallFacts, ...]
    runs: Mapping[bytes, AskedRun]
    taken: Set[bytes]  # the calls of `attaches`
    home: UUID | None

    def note(self, call: bytes) -> str:
        """What becomes of the run that a call has asked for, where something can be said of it."""
        asked = self.runs.get(call)
        if asked is None:
            return ""
        if call not in self.taken:
            return f"asked for run {asked.run}: {asked.state}"
        if asked.status == "completed" and asked.agent != self.home:
            return f"takes run {asked.run}: completed by another agent, so its result is read only through a store of results"
        return f"takes run {asked.run}: {asked.state}"


@dataclass(slots=True)
class Calls:
    """What a line of runs knows of its calls, attempt by attempt, the oldest first."""

    known: dict[bytes, Known] = field(default_factory=dict)
    asked: dict[bytes, AskedRun] = field(default_factory=dict)
    wishes: list[AskedRun] = field(default_factory=list)  # those that a cut took out, too
    home: UUID | None = None  # the agent with the journal

    def add(self, attempt: Iterable[CallFacts]) -> None:
        """One attempt's calls. A result stays when a later attempt says nothing better of the call."""
        for facts in attempt:
            before = self.known.get(facts.call)
            if before is not None and before.facts.kept and not facts.kept:
                continue
            if before is not None and before.facts.kept and not facts.executed:
                self.known[facts.call] = replace(before, facts=facts)
                continue
            first = before.first_began if before is not None and before.facts.kept else facts.began
            self.known[facts.call] = Known(facts, facts.began, first)

    def ask(self, asked: Iterable[AskedRun], *, moved: bool = False) -> None:
        """What the calls of one run have asked for, behind its attempts.

        Of a call that told nothing else this is all that is known; or, where the run has `moved`, another agent than its home made it.
        """
        for each in asked:
            self.wishes.append(each)
            if each.call in self.known or not moved:
                self.asked[each.call] = each
            if each.call not in self.known and not moved:
                facts = _unheard(each)
                self.known[each.call] = Known(facts, facts.began, facts.began)

    def cut(self, cut: Fork) -> None:
        """What a fork took out of the journal has no result any more, and no run that was asked for."""
        out = {call for call, known in self.known.items() if self.is_out(known, cut)}
        for call in out:
            self.asked.pop(call, None)
            known = self.known[call]
            facts = replace(known.facts, kept=False, status="cut")
            self.known[call] = replace(known, facts=facts)

    def is_out(self, known: Known, cut: Fork) -> bool:
        facts = known.facts
        if cut.cut_at is not None and known.began >= cut.cut_at:
            return True
        return facts.call in cut.around or (bool(cut.call) and cut.call in self.chain(facts.call))

    def chain(self, call: bytes) -> list[bytes]:
        """The call and those around it, inside out; the flow itself is not among them."""
        chain: list[bytes] = []
        while call and call not in chain:
            chain.append(call)
            known = self.known.get(call)
            call = known.facts.parent if known is not None else b""
        return chain


def plan(calls: Calls, verb: Verb, call: bytes = b"") -> Plan:
    """What the verb would do. Raises InvalidArgument for a call that the run does not have."""
    cut = cut_of(calls, verb, call)
    taken_out = {each for each, known in calls.known.items() if calls.is_out(known, cut)}
    keeps = {
        each for each, known in calls.known.items() if known.facts.kept and each not in taken_out
    }
    unsure = _unsure(calls, verb, call) & keeps
    sure = keeps - unsure
    executes = {
        # What lies in a call that is kept whole is not even asked for.
        each
        for each in calls.known.keys() - keeps
        if not sure.intersection(calls.chain(each)[1:])
    }
    runs = taken(calls.wishes)
    attaches = {
        each
        for each in executes - taken_out
        if each in calls.asked and calls.asked[each].run in runs
    }
    return Plan(
        cut,
        executes=_shown(calls, executes - attaches),
        attaches=_shown(calls, attaches),
        may=_shown(calls, unsure),
        keeps=_shown(calls, sure),
        runs=calls.asked,
        taken=attaches,
        home=calls.home,
    )


def cut_of(calls: Calls, verb: Verb, call: bytes) -> Fork:
    """What the new run takes out of the journal."""
    if verb is Verb.RESUME:
        return Fork(verb, b"", (), None)
    known = calls.known.get(call)
    if known is None:
        raise InvalidArgument(
            "The run has no such call; `headway runs plan` lists its calls.", call=call.hex()
        )
    around = tuple(calls.chain(call)[1:])
    if verb is Verb.RETRY:
        return Fork(verb, call, around, None)
    if known.first_began <= _WITHHELD:
        raise InvalidState(
            "Its pool withholds when calls began, so nobody can tell what came after this one. Retry single steps, or run it anew."
        )
    return Fork(verb, call, around, known.first_began)


def _unsure(calls: Calls, verb: Verb, call: bytes) -> set[bytes]:
    """Calls that may have taken the retried one's result: they are other calls if it is another now."""
    if verb is not Verb.RETRY:
        return set()
    since = calls.known[call].first_began
    return {
        each
        for each, known in calls.known.items()
        if known.facts.ended is None or known.facts.ended >= since
    }


def _unheard(asked: AskedRun) -> CallFacts:
    name = "" if asked.deployment.startswith(BY_DIGEST) else asked.deployment
    at = asked.requested_at
    return CallFacts(asked.call, b"", name, "", "interrupted", False, True, at, None)  # noqa: FBT003


def _shown(calls: Calls, chosen: set[bytes]) -> tuple[CallFacts, ...]:
    rows: Sequence[Known] = [calls.known[each] for each in chosen]
    ordered = sorted(rows, key=lambda known: (known.began, known.facts.call))
    return tuple(known.facts for known in ordered)
