"""A run as plain lines, for pipes and log files: each turn of the run, each failure, each line of output, and where it stands
once a second.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any

import click

from headway.cli import run_text, text
from headway.cli.progress import Progress

_PROGRESS_EVERY = 1.0
# Of one look. Ten thousand failures say no more than ten, and the run's page has them all.
_MOST_FAILURES = 10

_TURNS = {
    "RunCreated": "accepted",
    "RunGranted": "given to an agent (attempt {fence})",
    "RunReattached": "taken up again by its agent (attempt {fence})",
    # RunStarted says the same, later: when the control plane heard of it.
    "AttemptStarted": "started (attempt {fence})",
    "RunRescheduled": "runs again: {cause}",
    "RunPaused": "paused: {reason}",
    "RunSuspended": "suspended: {reason}",
    "RunAsked": "asks, and keeps its process",
    "RunAnswered": "has what it waited for",
    "RunResumed": "goes on",
    "RunCancelRequested": "cancel requested",
    "RunCompleted": "completed",
    "RunFailed": "failed: {cause}",
    "RunCrashed": "crashed: {cause}",
    "RunCancelled": "cancelled: {evidence}",
}

# What a suspended run waits for; a reason that is not here is shown as it is.
_WAITS = {
    "sleeping": "sleeps",
    "input": "waits for an answer",
    "event": "waits for an event",
    "run": "waits for a run",
}


def watch_plain(
    snapshots: Iterable[Progress],
    *,
    from_the_start: bool,
    monotonic: Callable[[], float] = monotonic,
) -> Mapping[str, Any]:
    """Print what happens until the run has ended. Returns the run."""
    narrator = Narrator(from_the_start=from_the_start)
    run: Mapping[str, Any] = {}
    for snapshot in snapshots:
        run = snapshot.run
        for line in narrator.lines(snapshot, monotonic()):
            click.echo(line)
    return run


class Narrator:
    """Turns snapshots of one run into lines, and remembers what was said.

    Where every event is heard from the start, calls are counted by name: the view behind the run's own sums lags a little.
    """

    def __init__(self, *, from_the_start: bool) -> None:
        self._from_the_start = from_the_start
        self._begun: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._failed = 0
        self._open: set[str] = set()
        self._newest = ""
        # Lines are read, events are told: the first lines of a quick run may be here before its start is.
        self._has_begun = not from_the_start
        self._held_back: list[Mapping[str, Any]] = []
        self._told = ""
        self._told_at = float("-inf")

    def lines(self, snapshot: Progress, now: float) -> Iterator[str]:
        """Yield what is new in this snapshot, by time, then where the run stands."""
        for event in snapshot.new_events:
            self._take(event)
        lines = self._held_back + snapshot.new_lines
        self._held_back = []
        if not (self._has_begun or snapshot.ended):
            lines, self._held_back = [], lines
        told = [
            *_turns(snapshot.new_events),
            *_failures(snapshot.new_events),
            *((line["at"] or "", run_text.log_line(line)) for line in lines),
        ]
        yield from (line for _, line in sorted(told, key=lambda item: item[0]))
        if not snapshot.ended:
            yield from self._standing(snapshot.run, now)

    def _take(self, event: Mapping[str, Any]) -> None:
        data = event["data"]
        name, call = data.get("name", ""), data.get("call", "")
        match event["type"]:
            case "AttemptStarting":
                self._has_begun = True
                self._begun.clear()
                self._ended.clear()
                self._open.clear()
                self._failed = 0
            case "CallStarted":
                self._open.add(call)
                self._begun[name] += 1
                self._newest = name
            case "CallEnded":
                if call not in self._open:
                    self._begun[name] += 1
                self._open.discard(call)
                self._ended[name] += 1
                self._failed += data.get("outcome") == "failed"
                self._newest = name
            case "CallsEnded":
                # A range: many calls that nothing was told of before.
                self._begun[name] += data.get("count", 0)
                self._ended[name] += data.get("count", 0)
                self._newest = name
            case _:
                pass  # says nothing of calls

    def _standing(self, run: Mapping[str, Any], now: float) -> Iterator[str]:
        """Yield `hash_batch 87/176 · 264/271 tasks`, once a second at most and only when it has changed."""
        words = self._counted() if self._from_the_start else run_text.tasks_words(run["tasks"])
        if words and words != self._told and now - self._told_at >= _PROGRESS_EVERY:
            self._told, self._told_at = words, now
            yield f"{' ' * 12} {words}"

    def _counted(self) -> str:
        if not self._begun:
            return ""
        words = f"{self._ended.total()}/{self._begun.total()} tasks"
        if self._failed:
            words += f", {self._failed} failed"
        if not self._newest:
            return words
        newest = f"{self._ended[self._newest]}/{self._begun[self._newest]}"
        return f"{text.printable(self._newest)} {newest} · {words}"


def _turns(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the turns of the run's life with their times."""
    for event in events:
        words = _TURNS.get(event["type"])
        if words is not None:
            given = _Given(event["data"], fence=event["stream"].rpartition("/")[2])
            if given.get("cause") == "error" and given.get("error_class"):
                given["cause"] = given["error_class"]
            if event["type"] == "RunSuspended":
                given["reason"] = _WAITS.get(given["reason"], given["reason"])
            yield _at(event, words.format_map(given))


def _failures(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each failed try and failed call, up to a number."""
    failed = sorted(filter(_has_failed, events), key=lambda event: str(event["occurred_at"]))
    for event in failed[:_MOST_FAILURES]:
        yield _at(event, _failure(event))
    if len(failed) > _MOST_FAILURES:
        more = f"… and {len(failed) - _MOST_FAILURES} more failures like these"
        yield failed[_MOST_FAILURES - 1]["occurred_at"], more


def _has_failed(event: Mapping[str, Any]) -> bool:
    ended_badly = event["type"] == "CallEnded" and event["data"].get("outcome") == "failed"
    return bool(ended_badly) or event["type"] == "CallRetrying"


def _failure(event: Mapping[str, Any]) -> str:
    data = event["data"]
    what = f"{data.get('kind', 'task')} {data.get('name') or '(name withheld)'}"
    error = (data.get("error") or {}).get("error_class") or "an error"
    if event["type"] == "CallEnded":
        return f"{what} failed: {error}"
    again = text.duration(int(data.get("delay_us", 0)))
    return f"{what} failed its try {data.get('try', '')}: {error}; tries again in {again}"


def _at(event: Mapping[str, Any], words: str) -> tuple[str, str]:
    at = event["occurred_at"]
    return at, f"{text.clock(at)} * {text.printable(words)}"


class _Given(dict[str, Any]):
    """Fields of an event, with `fence` where the event itself names none; a withheld one leaves a gap, not an error."""

    def __init__(self, data: Mapping[str, Any], fence: str) -> None:
        super().__init__({"fence": fence} | dict(data))

    def __missing__(self, key: str) -> str:
        return ""
