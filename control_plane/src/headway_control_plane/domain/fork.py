"""What a run that is made from another executes again, and what it keeps: the one rule, for the preview and for the cut.

The SDK carries the cut out over the journal (`headway.runtime.journal`); here it is computed over the same facts as the log has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from headway_control_plane.domain.errors import InvalidArgument, InvalidState
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
    """`executes`: certainly, if the flow comes to them again. `may`: those that are given other values than before. `keeps`:
    certainly not. In the order in which they began.
    """

    cut: Fork
    executes: tuple[CallFacts, ...]
    may: tuple[CallFacts, ...]
    keeps: tuple[CallFacts, ...]


@dataclass(slots=True)
class Calls:
    """What a line of runs knows of its calls, attempt by attempt, the oldest first."""

    known: dict[bytes, Known] = field(default_factory=dict)

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

    def cut(self, cut: Fork) -> None:
        """What a fork took out of the journal has no result any more."""
        out = {call for call, known in self.known.items() if self.is_out(known, cut)}
        for call in out:
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
    return Plan(cut, _shown(calls, executes), _shown(calls, unsure), _shown(calls, sure))


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


def _shown(calls: Calls, chosen: set[bytes]) -> tuple[CallFacts, ...]:
    rows: Sequence[Known] = [calls.known[each] for each in chosen]
    ordered = sorted(rows, key=lambda known: (known.began, known.facts.call))
    return tuple(known.facts for known in ordered)
