"""Predicts from the files of a run's attempts which bodies were executed, by the documented rules, and compares it with the marks.

The rules are those of proto/headway_api/ipc/v1/README.md ("Journal") and docs/guides/transactions.md. A mark says which call
left it; what a call is, its name says: `step-3` is the same call in every attempt.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from support.effects import Mark
from support.second_reader import Attempt, End

WORKER_DIED = "headway.WorkerDied"
RECORDS = {"rolling back", "rolled back"}
"""What transactions tell of themselves: each once."""


@dataclass(frozen=True)
class Flow:
    """What is to be known of a flow: how many calls bear each name, those of transactions not counted."""

    calls: Mapping[str, int]
    in_workers: str
    """How the names of calls begin that calls in worker processes make: each try of those makes them anew."""
    committed: Mapping[str, bool]
    """Of each first step of a transaction: whether it is committed in the end, or rolled back."""
    durable: Mapping[str, str]
    """Calls with `durable="sync"`, and what is executed after each."""
    at_once: int
    """So many calls may be under way when everything dies."""


def violations(flow: Flow, marks: list[Mark], attempts: list[Attempt]) -> list[str]:
    """What contradicts the rules in a run that was completed in the end; all of its attempts were on one agent."""
    called = [mark for mark in marks if mark.call != "root"]
    return [
        *_never_again(called, attempts),
        *_as_told(called, attempts),
        *_in_flight(flow, called, attempts),
        *_identity(flow, called, attempts),
        *_durable(flow, called, attempts),
        *_transactions(flow, called, attempts),
    ]


def _never_again(marks: Iterable[Mark], attempts: list[Attempt]) -> Iterator[str]:
    """A call with a completed end in an earlier attempt is not executed, and skipped where it is told."""
    kept: set[str] = set()
    for attempt in attempts:
        for mark in marks:
            if mark.fence == attempt.fence and mark.call in kept:
                yield f"{mark.what} was executed again in attempt {mark.fence}: the journal held it"
        for end in attempt.ends:
            # The code of a transaction's block runs again, so its node ends again.
            is_node = end.kind == "transaction" and end.name not in RECORDS
            if end.call in kept and end.outcome != "skipped" and not is_node:
                yield f"{end.name} is told as {end.outcome} in attempt {attempt.fence}: the journal held it"
            if end.call not in kept and end.outcome == "skipped":
                yield f"{end.name} was skipped in attempt {attempt.fence}: the journal did not hold it"
        kept |= attempt.kept


def _as_told(marks: Iterable[Mark], attempts: list[Attempt]) -> Iterator[str]:
    """Each try that the file tells of was executed once; only one whose process died may have died before its effect."""
    names = {mark.call: mark.what for mark in marks}
    made = Counter((mark.fence, mark.call, mark.try_number) for mark in marks)
    for attempt in attempts:
        told: dict[tuple[str, int], str] = {}
        for call, tries in attempt.retried.items():
            told |= {(call, number): error for number, error in tries.items()}
        for end in attempt.ends:
            if end.outcome != "skipped":
                told |= {(end.call, n): told.get((end.call, n), "") for n in range(1, end.tries)}
                told[end.call, end.tries] = end.error
        for (call, number), error in told.items():
            times = made[attempt.fence, call, number]
            if call in names and times != 1 and not (error == WORKER_DIED and times == 0):
                yield f"try {number} of {names[call]} is told of in attempt {attempt.fence}, and ran {times} times"
    yield from (
        f"try {number} of {names[call]} ran {times} times in attempt {fence}"
        for (fence, call, number), times in made.items()
        if times > 1
    )


def _in_flight(flow: Flow, marks: Iterable[Mark], attempts: list[Attempt]) -> Iterator[str]:
    """What was executed and not told: nothing where the flow ended by itself; what was under way where it died alone."""
    for attempt in attempts:
        ended = {end.call for end in attempt.ends}
        untold = {m.what for m in marks if m.fence == attempt.fence and m.call not in ended}
        if any(WORKER_DIED in tries.values() for tries in attempt.retried.values()):
            untold = {what for what in untold if not what.startswith(flow.in_workers)}
        cause = attempt.exit.get("cause")
        most = {"": 0, "exit": 0, "signal": flow.at_once}.get(str(cause))
        if most is not None and len(untold) > most:
            yield f"attempt {attempt.fence} ({cause}) executed without telling of it: {sorted(untold)}"


def _identity(flow: Flow, marks: Iterable[Mark], attempts: list[Attempt]) -> Iterator[str]:
    """The equal call has the equal key in every attempt, different ones have different keys, and each is completed once."""
    calls = defaultdict(set)
    for mark in marks:
        calls[mark.what].add(mark.call)
    done = Counter(end.call for a in attempts for end in a.ends if end.outcome == "completed")
    for what, number in flow.calls.items():
        if len(calls[what]) != number:
            yield f"{what} is {number} calls of the flow, and had {len(calls[what])} keys"
        wrong = {call: done[call] for call in calls[what] if done[call] != 1}
        yield from (f"{what} was completed {times} times" for times in wrong.values())


def _durable(flow: Flow, marks: list[Mark], attempts: list[Attempt]) -> Iterator[str]:
    """What follows a durable call is executed once its end is on disk, whoever dies then."""
    calls = {mark.what: mark.call for mark in marks}
    for what, after in flow.durable.items():
        told = [a.fence for a in attempts if calls.get(what) in {end.call for end in a.ends}]
        for mark in marks:
            if mark.what == after and not any(fence <= mark.fence for fence in told):
                yield f"{after} was executed in attempt {mark.fence} before {what} was durable"


def _transactions(flow: Flow, marks: list[Mark], attempts: list[Attempt]) -> Iterator[str]:
    ends = [(attempt.fence, end) for attempt in attempts for end in attempt.ends]
    steps = {mark.call: mark.what for mark in marks if mark.what.startswith("write-")}
    # A transaction is known by its first step: its own end may never have been written.
    nodes = {end.parent: steps[end.call] for _, end in reversed(ends) if end.call in steps}
    last: dict[str, str] = {}
    for node, first in reversed(nodes.items()):
        found = Told(node, first, ends, marks)
        yield from found.violations()
        last[first] = "committed" if found.is_committed else "rolled back" if found.is_undone else ""  # fmt: skip
    for first, is_committed in flow.committed.items():
        wanted = "committed" if is_committed else "rolled back"
        if last.get(first) != wanted:
            yield f"the transaction of {first} is {last.get(first)!r} in the end, not {wanted}"


class Told:
    """One generation of one transaction, over all attempts."""

    def __init__(
        self, node: str, name: str, ends: list[tuple[int, End]], marks: list[Mark]
    ) -> None:
        self.name = name
        self.below = [(fence, end) for fence, end in ends if end.parent == node]
        self.is_committed = any(end.call == node and end.outcome == "completed" for _, end in ends)
        self.is_undone = self._record("rolled back") is not None
        self._marks = marks
        self._what = {mark.call: mark.what for mark in marks}

    def _record(self, name: str) -> tuple[int, int] | None:
        """Attempt and number of the first record of this name."""
        places = (
            (f, end.n) for f, end in self.below if end.kind == "transaction" and end.name == name
        )
        return next(places, None)

    def _completed(self, prefix: str) -> list[str]:
        """What the completed calls stand for whose marks begin so, in the order of their ends."""
        whats = (
            self._what.get(end.call, "") for _, end in self.below if end.outcome == "completed"
        )
        return [what.removeprefix(prefix) for what in whats if what.startswith(prefix)]

    def violations(self) -> Iterator[str]:
        steps, commits, undos = map(self._completed, ("write-", "commit-", "undo-"))
        told = f"the transaction of {self.name}: steps {steps}, committed {commits}, undone {undos}"
        if self.is_committed and (commits != steps or undos):
            yield f"{told}, and is committed"
        if self.is_undone and (undos != steps[::-1] or commits):
            yield f"{told}, and is rolled back"
        if commits != steps[: len(commits)] or undos != steps[::-1][: len(undos)]:
            yield f"{told}: in this order"
        yield from self._hooks_follow_what_is_durable(steps)
        yield from self._unfinished()

    def _hooks_follow_what_is_durable(self, steps: list[str]) -> Iterator[str]:
        """Each hook is on the disk before the next one begins, and `rolling back` before the first."""
        ended = {self._what.get(end.call): fence for fence, end in reversed(self.below)}
        begun = self._record("rolling back")
        for prefix, order in (("commit-", steps), ("undo-", steps[::-1])):
            mine = [m for m in self._marks if m.what.startswith(prefix) and self._is_mine(m.call)]
            for mark in mine:
                place = order.index(mark.what.removeprefix(prefix))
                if place and ended.get(prefix + order[place - 1], mark.fence + 1) > mark.fence:
                    yield f"{mark.what} ran in attempt {mark.fence} before the hook before it was told"
                if prefix == "undo-" and (begun is None or begun[0] > mark.fence):
                    yield f"{mark.what} ran in attempt {mark.fence} before the rollback was told"

    def _is_mine(self, call: str) -> bool:
        return any(end.call == call for _, end in self.below)

    def _unfinished(self) -> Iterator[str]:
        """An attempt that finds a rollback begun and not ended executes no more steps in it."""
        begun, done = self._record("rolling back"), self._record("rolled back")
        if begun is None:
            return
        until = done[0] if done else 1 << 30
        for mark in self._marks:
            is_step = mark.what.startswith("write-") and self._is_mine(mark.call)
            if is_step and begun[0] < mark.fence <= until:
                yield f"{mark.what} was executed in attempt {mark.fence}, which had a rollback to finish"
