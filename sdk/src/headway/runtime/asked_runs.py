"""Which run each call stands for that asks for one: one call, one run, over attempts, agents, and runs made from runs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from headway.child_runs import RunRequest
from headway.errors import HeadwayError
from headway.runtime.child_results import child_id, is_child_id
from headway.runtime.journal import Journal


class AskedRuns:
    """Finds what was asked for before.

    `known` is what the control plane says of it: runs that this run has asked for, each with its `wish`, where other agents
    have executed it too; and those that runs which it was made from have asked for, as far as they are under way or completed.
    `cut`: there are more than these, too many to tell. `unheard`: an earlier attempt was lost, and the control plane knows of no
    other runs than these, whatever the journal has.
    """

    def __init__(
        self,
        run: str,
        journal: Journal,
        known: Sequence[Mapping[str, Any]] = (),
        *,
        cut: bool = False,
        unheard: bool = False,
    ) -> None:
        self._run = run
        self._cut = cut
        self._unheard = unheard
        self._journal = journal
        self._known = {str(each["run"]) for each in known}
        self._by_call = {str(each["call"]): str(each["run"]) for each in known if each["wish"]}
        # Another agent names calls by another salt: there a call is known again by what it wishes for, in the order of wishes.
        self._elsewhere: defaultdict[str, deque[str]] = defaultdict(deque)
        here = journal.asked_runs()
        for each in known:
            if each["wish"] and each["run"] not in here:
                self._elsewhere[str(each["wish"])].append(str(each["run"]))
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def find(self, call: str, request: RunRequest, now_us: int) -> str:
        """The run that the call stands for; a new one if it has asked for none, or for one that is not to be had.

        Raises HeadwayError where it may have asked for one that is not told.
        """
        asked = self._journal.asked(call)
        if asked and (asked in self._known or is_child_id(asked, self._run, call)):
            return asked
        with self._lock:
            found = self._by_call.get(call) or self._next(wish_of(request))
            if found is not None:
                self._taken.add(found)
        if found is None and asked is None and self._cut:
            raise HeadwayError(
                f"this run has asked for more than {len(self._known):,} others, and not all can be told to an attempt on another agent or "
                f"after a lost one: whether it has asked for this one ({request.deployment}) is not known, and a second one is not started. "
                "Let a run start others in parts, each a run of its own; start a new run for what is left"
            )
        return found or child_id(self._run, call, now_us)

    def is_told(self, call: str, run: str) -> bool:
        """Whether an attempt of this very run has asked for it, and was heard."""
        if self._unheard and run not in self._known:
            return False
        return self._journal.asked(call) == run and is_child_id(run, self._run, call)

    def untold(self, call: str) -> str | None:
        """The run that a completed call has asked for, if nobody may have heard of it."""
        asked = self._journal.asked(call)
        if asked is None or not is_child_id(asked, self._run, call):
            return None
        return None if self.is_told(call, asked) else asked

    def _next(self, wish: str) -> str | None:
        waiting = self._elsewhere.get(wish, ())
        while waiting:
            run = waiting.popleft()
            if run not in self._taken:
                return run
        return None


def wish_of(request: RunRequest) -> str:
    """What is wanted, as the control plane knows it: SHA-256 over the digests of the deployment's name and of the parameters."""
    parameters = b""
    if request.parameters:
        content = json.dumps(dict(request.parameters), ensure_ascii=False)
        parameters = hashlib.sha256(content.encode("utf-8", "replace")).digest()
    deployment = hashlib.sha256(request.deployment.encode("utf-8", "replace")).digest()
    return hashlib.sha256(deployment + parameters).hexdigest()
