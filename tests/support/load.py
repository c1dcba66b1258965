"""Verifiable load: runs whose bodies leave marks in files of their own, started through outages, and subscribers that watch.

    with load(headway, per_second=1.0) as work:
        work.until_marks(12)
        ...                      # strike and heal
    work.drain()
    work.judge(trial)

Whatever is judged is judged against what the flows themselves, the agents and the subscribers wrote down, never against
what the control plane says of itself alone.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headway_control_plane.log.invariants import Violation
from support import effects, holders, subscriber, verdicts
from support.effects import MANY_STEPS
from support.eventually import eventually
from support.stack import TERMINAL, Api
from support.subscriber import Subscriber
from support.trial import INVARIANTS, Trial

RETRY_PAUSE = 0.2
OUTAGE = (OSError, http.client.HTTPException, json.JSONDecodeError)
SUBSCRIBERS_PATIENCE = 60.0
FROM_THE_LOG = (1, 2, 3, 4, 5, 6, 8, 10)
EXPECTED = {"many-steps": MANY_STEPS, "one-step": {"flow", "step-1"}, "waits-for": {"flow"}}
RESULTS = {
    "many-steps": str(
        sum(n * n for n in range(12))
        + 1
        + sum((100 + n) ** 2 for n in range(3))
        + sum((200 + n) ** 2 for n in range(6))
    )
}


class Rig(Protocol):
    """What load needs of a Headway: `support.stack.Stack` has it, and so has anything with these."""

    api: Api

    @property
    def database_url(self) -> str: ...

    def run_directories(self, run: str) -> dict[int, Path]: ...


@dataclass
class Started:
    """One run that was asked for: once, however often that took."""

    deployment: str
    file: Path
    parameters: Mapping[str, object]
    expected: Collection[str]
    result: str | None
    outcomes: Collection[str]
    key: str = field(default_factory=lambda: f"load-{uuid.uuid4()}")
    run: str = ""
    shown: Mapping[str, Any] | None = None

    @property
    def is_completed(self) -> bool:
        return self.shown is not None and self.shown["state"] == "completed"


class Load:
    """Made by `load`."""

    def __init__(
        self,
        headway: Rig,
        *,
        deployment: str = "many-steps",
        per_second: float = 1.0,
        subscribers: int = 1,
        most: int = 1_000,
        expected: Collection[str] | None = None,
        outcomes: Collection[str] = ("completed",),
        result: str | None = None,
        **parameters: object,
    ) -> None:
        self.headway = headway
        self.started: list[Started] = []
        self.refusals: list[str] = []
        self._interval, self._most = 1 / per_second, most
        self._steady = (deployment, expected, outcomes, result, parameters)
        self._folder = Path(tempfile.mkdtemp(prefix="hw-load-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._lock = threading.Lock()
        self._stop_starting, self._give_up = threading.Event(), threading.Event()
        self._drained = False
        self.subscribers = [
            Subscriber(headway.api.url, headway.api.token) for _ in range(subscribers)
        ]
        self._thread = threading.Thread(target=self._start_runs, name="load", daemon=True)
        self._thread.start()

    # Starting -------------------------------------------------------------------------------------------

    def start(
        self,
        deployment: str,
        *,
        expected: Collection[str] | None = None,
        outcomes: Collection[str] = ("completed",),
        result: str | None = None,
        **parameters: object,
    ) -> Started:
        """Start one run beside the steady ones (`most=0`: there are none); it is judged like them. Returns once it is acknowledged."""
        each = self._new(deployment, expected, outcomes, result, parameters)
        self._ask(each)
        return each

    def _new(
        self,
        deployment: str,
        expected: Collection[str] | None,
        outcomes: Collection[str],
        result: str | None,
        parameters: Mapping[str, object],
    ) -> Started:
        is_usual = expected is None and not {"steps", "mapped"} & set(parameters)
        kind = deployment if deployment in EXPECTED else "many-steps"
        with self._lock:
            each = Started(
                deployment,
                self._folder / f"{len(self.started)}.marks",
                parameters,
                EXPECTED[kind] if expected is None else expected,
                RESULTS.get(kind) if result is None and is_usual else result,
                outcomes,
            )
            self.started.append(each)
        return each

    def _start_runs(self) -> None:
        for _ in range(self._most):
            if self._stop_starting.is_set():
                return
            self._ask(self._new(*self._steady))
            self._stop_starting.wait(self._interval)

    def _ask(self, each: Started) -> None:
        """Ask until there is an answer: the key makes repeating harmless."""
        parameters = {"path": str(each.file), **each.parameters}
        body = {"deployment": each.deployment, "parameters": parameters}
        while not self._give_up.is_set():
            with suppress(*OUTAGE):
                status, answer = self.headway.api.answer(
                    "POST", "/runs", body, **{"Idempotency-Key": each.key}
                )
                if status < 300:
                    each.run = answer["id"]
                    return
                if status < 500 and status != 429:
                    self.refusals.append(f"start refused with {status}: {answer}")
                    return
            self._give_up.wait(RETRY_PAUSE)

    # While it runs --------------------------------------------------------------------------------------

    def marks(self) -> int:
        """Marks that all flows have left so far."""
        return sum(
            each.file.read_bytes().count(b"\n") for each in self.started if each.file.exists()
        )

    def until_marks(self, count: int, *, seconds: float = 60) -> None:
        """Wait until the flows have left so many marks in all since the load began."""
        eventually(lambda: self.marks() >= count, seconds=seconds, what=f"{count} marks")

    def until_more_marks(self, count: int = 1, *, seconds: float = 60) -> None:
        """Wait until flows have gone on by so many marks from now."""
        self.until_marks(self.marks() + count, seconds=seconds)

    @property
    def runs(self) -> list[str]:
        """The runs whose creation is acknowledged."""
        return [each.run for each in self.started if each.run]

    def stop(self) -> None:
        """Start no more runs."""
        self._stop_starting.set()

    def abandon(self) -> None:
        """End all threads at once; nothing can be judged any more."""
        self._stop_starting.set()
        self._give_up.set()
        self._thread.join(60)
        for each in self.subscribers:
            each.stop()

    # The end --------------------------------------------------------------------------------------------

    def drain(self, seconds: float = 90) -> dict[str, Mapping[str, Any]]:
        """Start no more runs and wait until all are terminal; what is not by then, `judge` says. Return them as shown."""
        deadline = time.monotonic() + seconds
        self._stop_starting.set()
        self._thread.join(seconds)
        self._give_up.set()
        self._thread.join(60)
        for each in self.started:
            while each.run and not self._look(each) and time.monotonic() < deadline:
                time.sleep(RETRY_PAUSE)
        self._drained = True
        return {each.run: each.shown for each in self.started if each.shown is not None}

    def _look(self, each: Started) -> bool:
        with suppress(*OUTAGE):
            status, shown = self.headway.api.answer("GET", f"/runs/{each.run}")
            if status < 400:
                each.shown = shown
                return shown["state"] in TERMINAL
            if status == 404:
                self.refusals.append(f"run {each.run} was acknowledged and is not there")
                return True
        return False

    def judge(self, trial: Trial) -> None:
        """Hold every history against every invariant: one verdict each."""
        if not self._drained:
            self.drain()
        try:
            assert self.runs, f"no run was started: {self.refusals}"
            known = [t for state in self.agent_states() if (t := verdicts.told(state))]
            self._judge_log(trial, known)
            executed = [each.run for each in self.started if each.run and each.is_completed]
            told = holders.histories(self.agent_states())
            trial.holds(INVARIANTS[7], holders.violations(told, executed))
            trial.holds("effects", self._effects())
            trial.holds(INVARIANTS[12], self._liveness())
        finally:
            self.abandon()

    def agent_states(self) -> set[Path]:
        """The state directories of all agents that had a run of ours."""
        return {
            directory.parents[2]
            for run in self.runs
            for directory in self.headway.run_directories(run).values()
        }

    def _judge_log(self, trial: Trial, known: list[verdicts.Told]) -> None:
        url = self.headway.database_url
        ws = verdicts.workspace_of(url, self.runs[0])
        log = verdicts.logged(url, ws)
        found = asyncio.run(verdicts.log_violations(url, known))
        for number in FROM_THE_LOG:
            trial.holds(INVARIANTS[number], _of(found, number))
        trial.holds(INVARIANTS[10], verdicts.witness_violations(log, known))
        if any(each.is_completed for each in self.started):
            trial.holds(INVARIANTS[2], _vacuous(known, "acknowledged"))
            trial.holds(INVARIANTS[10], _vacuous(known, "witnesses"))
        end = len(log.events)
        with suppress(AssertionError):  # the verdict says how far it has come
            eventually(lambda: verdicts.projection_offset(url, ws) >= end)
        trial.holds(INVARIANTS[9], asyncio.run(verdicts.projection_violations(url, ws, end)))
        for each in self.subscribers:
            trial.holds(INVARIANTS[11], _subscription(each, url, ws, log))

    def _effects(self) -> Iterator[str]:
        """What bodies did against what they should have done: nothing lost, nothing doubled."""
        for each in self.started:
            if not each.run:
                yield f"start {each.key} was never answered"
                continue
            directories = self.headway.run_directories(each.run)
            expected = set(each.expected) if each.is_completed else effects.seen(each.file)
            for found in effects.violations(each.file, directories, expected):
                yield f"run {each.run}: {found}"
            strangers = {mark.run for mark in effects.marks(each.file)} - {each.run}
            yield from (f"one start made the runs {each.run} and {run}" for run in strangers)

    def _liveness(self) -> Iterator[str]:
        yield from self.refusals
        for each in self.started:
            shown = each.shown
            if not each.run:
                continue
            if shown is None:
                yield f"run {each.run} could not be looked at"
                continue
            told = f"run {each.run} is {shown['state']} ({shown.get('reason')})"
            if shown["state"] not in each.outcomes:
                yield told
            elif each.result and each.is_completed and shown["result"]["preview"] != each.result:
                yield f"{told} with {shown['result']['preview']}, not {each.result}"

    def repeated(self) -> list[str]:
        """Runs that executed user code in more than one attempt: for an outage of ours there may be none."""
        fences = {each.run: {m.fence for m in effects.marks(each.file)} for each in self.started}
        return [
            f"run {run} ran in attempts {told}" for run, told in fences.items() if len(told) > 1
        ]


@contextmanager
def load(headway: Rig, **options: Any) -> Iterator[Load]:
    """Start runs at a steady pace until the block ends; see `Load` for the options, others are the flow's parameters."""
    work = Load(headway, **options)
    try:
        yield work
    except BaseException:
        work.abandon()
        raise
    work.stop()


def _vacuous(known: list[verdicts.Told], what: str) -> list[str]:
    """What agents were told is the witness; if they know nothing, there is none."""
    return [] if any(getattr(each, what) for each in known) else [f"no agent holds any {what}"]


def _of(found: list[Violation], number: int) -> list[Violation]:
    return [violation for violation in found if violation.invariant == number]


def _subscription(watcher: Subscriber, url: str, ws: int, log: verdicts.Logged) -> list[str]:
    """Wait until the subscriber has everything that was in the log; then what it has must be the log's beginning."""
    end = log.events[-1]
    with suppress(AssertionError):
        eventually(
            lambda: len(watcher.seen) >= len(log.events),
            seconds=SUBSCRIBERS_PATIENCE,
            what=f"a subscriber reaches {end.cursor}",
        )
    watcher.stop()
    found = [*watcher.faults, *subscriber.violations(watcher.seen, verdicts.logged(url, ws).events)]
    if len(watcher.seen) < len(log.events):
        found.append(f"a subscriber came to {watcher.cursor}, the log to {end.cursor}")
    return found
