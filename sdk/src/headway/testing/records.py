"""What a run in memory has told: its facts, as they are, and as calls and lines to assert on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from headway import payloads
from headway.digests import ROOT
from headway.errors import HeadwayError
from headway.runtime.results import ResultReader

_inline = ResultReader((), "")


class HarnessError(HeadwayError, AssertionError):
    """A test asks for what its run has not: another state, a call that was not made, a fact that never came."""


class LogLine(NamedTuple):
    """One line of a run's log."""

    level: str
    """`DEBUG` ... `CRITICAL`."""
    text: str
    call: str
    """Name of the call that it was written in; the flow's for the flow itself."""
    logger: str


class CallRecord:
    """One call, as an attempt has told of it."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        self.key: str = frame["call"]
        """Journal key: equal for the equal call in the next attempt."""
        self.parent: str = frame["parent"]
        """Key of the call around it; `root` is the flow."""
        self.name: str = frame["name"]
        self.kind: str = frame["kind"]
        """`task`, `flow` or `wait`."""
        self.run_name: str = ""
        """What `task_run_name` or `flow_run_name` made; empty without one."""
        self.state = "running"
        """`completed`, `skipped` (an earlier attempt completed it), `failed`, `cancelled`; or `running`: the attempt
        ended before the call did.
        """
        self.tries = 1
        """How often it was tried; 0 for a skipped call, and for one that an argument failed."""
        self.delays: list[float] = []
        """Seconds before each retry."""
        self.errors: list[dict[str, Any]] = []
        """What each failed try raised: `class`, `message`, `traceback`."""
        self._result: dict[str, Any] | None = None

    @property
    def error(self) -> dict[str, Any] | None:
        """What the last failed try raised: `class`, `message`, `traceback`."""
        return self.errors[-1] if self.errors else None

    @property
    def value(self) -> Any:
        """What it returned, as the next attempt would get it. Raises HarnessError where there is nothing kept."""
        found = None if self._result is None else _inline(self._result)
        if found is None:
            raise HarnessError(f"{self!r} has no result that was kept; look at its state first")
        return payloads.decode(found.payload)

    def take(self, frame: Mapping[str, Any]) -> None:
        """One more fact about it."""
        self.run_name = frame.get("run_name", self.run_name)
        if frame["type"] == "call.retrying":
            self.delays.append(frame["delay_us"] / 1e6)
            self.tries = frame["try"] + 1
        if "error" in frame:
            self.errors.append(frame["error"])
        if frame["type"] == "call.ended":
            self.state, self.tries = frame["outcome"], frame["tries"]
            self._result = frame.get("result")

    def __repr__(self) -> str:
        error = f": {self.error['class']}: {self.error['message']}" if self.error else ""
        return f"<{self.kind} {self.name} {self.state}, tries={self.tries}{error}>"


class AttemptRecord:
    """One attempt of a run."""

    def __init__(self, number: int, flow: str, raw: Iterable[bytes], *, crashed: bool) -> None:
        frames = [json.loads(each) for each in raw]
        self.number = number
        """From 1."""
        self.events: list[dict[str, Any]] = [f for f in frames if f["type"] != "log"]
        """Its facts as the agent would get them, in order, without the lines of its log."""
        self.calls = _calls(self.events)
        """In the order in which they began."""
        names = {call.key: call.name for call in self.calls} | {ROOT: flow}
        self.logs = [
            LogLine(f["level"], f["text"], names.get(f["call"], ""), f["logger"])
            for f in frames
            if f["type"] == "log"
        ]
        ended = self.events[-1] if self.events else {}
        self.state: str = "crashed" if crashed else ended.get("outcome", "crashed")
        """`completed`, `failed`, `cancelled`, `suspended`, `crashed`; `refused`: its parameters were wrong."""
        self.waits: list[dict[str, Any]] = ended.get("waits", [])
        """What a suspended attempt waits for."""

    def call(self, name: str, at: int | None = None) -> CallRecord:
        """The call of that name; of several the one at that position (0 is the first).

        HarnessError when there is none, or there are several and `at` is not said.
        """
        named = [call for call in self.calls if call.name == name]
        if not named:
            names = ", ".join(dict.fromkeys(call.name for call in self.calls)) or "none"
            raise HarnessError(f"attempt {self.number} has no call {name!r}; its calls: {names}")
        if at is None and len(named) > 1:
            raise HarnessError(f"{len(named)} calls {name!r}: say which, as call({name!r}, at=0)")
        try:
            return named[at or 0]
        except IndexError:
            found = f"there are {len(named)} calls {name!r}"
            raise HarnessError(f"{found}, none at position {at}") from None

    def __repr__(self) -> str:
        return f"<attempt {self.number} {self.state}: {self.calls}>"


def _calls(events: Iterable[Mapping[str, Any]]) -> list[CallRecord]:
    calls: dict[str, CallRecord] = {}
    for frame in events:
        if frame["type"].startswith("call."):
            key = frame["call"]
            if key not in calls:
                calls[key] = CallRecord(frame)
            calls[key].take(frame)
    return list(calls.values())
