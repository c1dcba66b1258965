"""The waits of one attempt: which are over, which are short enough to sit out, and which suspend the flow."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from headway.child_runs import RunRequest, failure_of
from headway.context import Call
from headway.digests import stable_digest
from headway.errors import HeadwayError, Suspended
from headway.runtime.asked_runs import AskedRuns
from headway.runtime.child_results import SitOut
from headway.runtime.inbox import Inbox
from headway.runtime.journal import Journal, Kept
from headway.runtime.reporter import Reporter
from headway.waits import Over, WaitSpec

Answers = Sequence[Mapping[str, Any]]
LOOK_EVERY_S = 0.2
MOST_WAITS = 100
MOST_RUNS = 1000
MOST_BYTES = 900 * 1024
"""All waits of an attempt stand in one frame."""


def digest_of(spec: WaitSpec) -> str:
    """What makes it the same wait in another attempt."""
    digest = stable_digest(dict(spec.identity))
    assert digest is not None, "a wait's identity is plain data"
    return digest


class Waits:
    """Decides what becomes of each wait. `pending` are those that the attempt ends for.

    `answers` None: the agent knows nothing of suspended attempts. `inbox` None: a flow that would keep its process is suspended.
    """

    def __init__(
        self,
        run: str,
        journal: Journal,
        answers: Answers | None,
        report: Reporter,
        *,
        may_ask: bool = False,
        asked_runs: AskedRuns | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.pending: list[dict[str, Any]] = []
        self._asked = asked_runs or AskedRuns(run, journal)
        self._may_ask = may_ask
        self._inbox = inbox
        self._bytes = 0
        self._counts = {True: 0, False: 0}
        self._journal = journal
        self._answers = None if answers is None else {str(a.get("call")): a for a in answers}
        self._report = report
        self._lock = threading.Lock()
        self._reached: dict[str, Over] = {}

    def reach(self, call: Call, spec: WaitSpec, kept: Kept | None, sit_out: SitOut) -> Over:
        """The end of the wait. Raises Suspended where it lies beyond this attempt."""
        if kept is not None:
            over = _recorded(kept.value)._replace(is_kept=True)
            if kept.failed and spec.run is not None:
                failure = failure_of(spec.run, over.value)
                self._report.waited(call, self._report.clock(), kept.value, failure, tries=0)
            elif spec.run is not None and (untold := self._asked.untold(call.key)) is not None:
                self._report.run_requested(call, spec.run, untold)
            return over
        now_us = self._report.clock()
        wait = self._wait(call, spec, now_us)
        answer = (self._answers or {}).get(call.key)
        if answer is not None and not answer.get("over"):
            return self._end(call, wait, Over(answered=True, value=answer.get("value")), spec.run)
        left_s = _left(wait, now_us)
        if spec.run is not None and not spec.run.waited:
            self._ask(call, spec.run, wait)
            return self._end(call, wait, Over(answered=True, value=_unwaited(spec.run, wait)))
        if answer is not None or (left_s is not None and left_s <= 0):
            return self._end(call, wait, Over(answered=False))
        if spec.holds and self._inbox is not None:
            self._report.asked(call, wait)
            return self._end(call, wait, self._hold(self._inbox, call.key, wait, sit_out))
        if left_s is not None and left_s <= spec.in_process_s:
            self._report.started(call, wait["since_us"])
            sit_out(left_s)
            return self._end(call, wait, Over(answered=False))
        if spec.run is not None:
            self._ask(call, spec.run, wait)
        self._suspend(wait)
        raise Suspended

    def _hold(self, inbox: Inbox, key: str, wait: Mapping[str, Any], sit_out: SitOut) -> Over:
        """Until the answer is there, or the time is up: an answer that came by then counts."""
        while (answer := inbox.find(key)) is None:
            left_s = _left(wait, self._report.clock())
            if left_s is not None and left_s <= 0:
                return Over(answered=False)
            sit_out(LOOK_EVERY_S if left_s is None else min(LOOK_EVERY_S, left_s))
        return Over(answered=True, value=answer.get("value"))

    def reach_once(self, call: Call, spec: WaitSpec, kept: Kept | None) -> Over:
        """The end of a wait that many calls come to, from any thread: it is told, and asked, once."""
        with self._lock:
            if call.key in self._reached:
                return self._reached[call.key]
            if any(wait["call"] == call.key for wait in self.pending):
                raise Suspended
            if kept is not None:
                self._report.skipped(call, kept)
            over = self._reached[call.key] = self.reach(call, spec, kept, lambda _: None)
            return over

    def _wait(self, call: Call, spec: WaitSpec, now_us: int) -> dict[str, Any]:
        """As `attempt.ended` tells it. Begin and end are those of the first attempt that came here."""
        before = self._journal.wait(call.key) or {}
        wait: dict[str, Any] = {
            "call": call.key,
            "parent": call.parent,
            "kind": spec.kind,
            "name": spec.name,
            "since_us": before.get("since_us", now_us),
        }
        until_us = before.get("until_us")
        if until_us is None and spec.seconds is not None:
            until_us = wait["since_us"] + round(spec.seconds * 1e6)
        if until_us is not None:
            wait["until_us"] = until_us
        if spec.topic:
            wait["topic"] = spec.topic
        if spec.request is not None:
            wait["request"] = dict(spec.request)
        if spec.run is not None:
            wait["run"] = self._asked.find(call.key, spec.run, now_us)
        return wait

    def _ask(self, call: Call, request: RunRequest, wait: Mapping[str, Any]) -> None:
        """Tells of the wanted run, unless an attempt of this very run has."""
        self._require_suspension()
        if not self._may_ask:
            raise HeadwayError("this agent starts no runs of deployments: upgrade headway-agent")
        if not self._asked.is_told(call.key, wait["run"]):
            self._report.run_requested(call, request, wait["run"])

    def _require_suspension(self) -> None:
        if self._answers is None:
            raise HeadwayError(
                "this agent cannot suspend runs: upgrade headway-agent, or sleep at most `suspend_after` seconds"
            )

    def _suspend(self, wait: dict[str, Any]) -> None:
        self._require_suspension()
        is_run = wait["kind"] == "run"
        size = self._bytes + len(json.dumps(wait))
        if self._counts[is_run] >= (MOST_RUNS if is_run else MOST_WAITS) or size > MOST_BYTES:
            if is_run:
                return  # the next attempt comes here again, when some of the others have ended
            raise HeadwayError(
                f"a run waits for at most {MOST_WAITS} things at a time, which must fit into {MOST_BYTES} bytes of JSON"
            )
        self._bytes = size
        self._counts[is_run] += 1
        self.pending.append(wait)

    def _end(
        self, call: Call, wait: Mapping[str, Any], over: Over, request: RunRequest | None = None
    ) -> Over:
        recorded: dict[str, Any] = {"value": over.value} if over.answered else {"over": True}
        if not over.answered and "run" in wait:
            recorded["run"] = wait["run"]
            over = _recorded(recorded)
        failure = None if request is None else failure_of(request, over.value)
        self._report.waited(call, wait["since_us"], recorded, failure)
        return over


def _unwaited(request: RunRequest, wait: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": wait["run"], "name": request.run_name, "state": "unfinished"}


def _left(wait: Mapping[str, Any], now_us: int) -> float | None:
    until_us = wait.get("until_us")
    return None if until_us is None else (until_us - now_us) / 1e6


def _recorded(value: Any) -> Over:
    if isinstance(value, dict) and "value" in value:
        return Over(answered=True, value=value["value"])
    known = {"run": value["run"]} if isinstance(value, dict) and "run" in value else None
    return Over(answered=False, value=known)
