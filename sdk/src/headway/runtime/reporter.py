"""The facts that an attempt reports, as frames."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from headway import payloads
from headway.child_runs import RunRequest
from headway.context import Call
from headway.definitions import Definition
from headway.errors import HeadwayError, ResultTooLarge, UnserializableResult
from headway.runtime.cache import Hit
from headway.runtime.changed_code import code_of
from headway.runtime.channel import Channel
from headway.runtime.failures import ErrorDescriber
from headway.runtime.journal import Kept
from headway.runtime.results import ResultWriter
from headway.runtime.secret_keeper import SecretKeeper

Clock = Callable[[], int]
AttemptFailure = Literal["failed", "cancelled", "refused"]
CallFailure = Literal["failed", "cancelled"]

_log = logging.getLogger("headway")


class Reporter:
    """Tells the supervisor what happens. Each method sends one frame."""

    def __init__(
        self, channel: Channel, clock: Clock, describe: ErrorDescriber, write_result: ResultWriter
    ) -> None:
        self.channel = channel
        self._send = channel.send
        self._wait_durable = channel.wait_durable
        self.clock = clock
        self.describe = describe
        self._write_result = write_result
        self._warned: set[str] = set()
        self.secrets: SecretKeeper | None = None

    def attempt_started(
        self, pid: int, python: str, timeout: float | None, hooks: Iterable[str]
    ) -> None:
        """From here on the supervisor keeps the flow's time, and knows for which ends of its process it has hooks."""
        frame: dict[str, Any] = {
            "type": "attempt.started",
            "at_us": self.clock(),
            "pid": pid,
            "python": python,
        }
        if timeout is not None:
            frame["timeout_us"] = round(timeout * 1e6)
        if wanted := [state for state in ("crashed", "cancelled") if state in hooks]:
            frame["hooks"] = wanted
        self._send(frame)

    def attempt_completed(self, value: Any, name: str) -> None:
        result = self._result(value, name, "the run shows no result")
        self._send(
            {
                "type": "attempt.ended",
                "at_us": self.clock(),
                "outcome": "completed",
                "result": result,
            }
        )

    def attempt_failed(self, outcome: AttemptFailure, error: BaseException) -> None:
        self._send(
            {
                "type": "attempt.ended",
                "at_us": self.clock(),
                "outcome": outcome,
                "error": self.describe(error),
            }
        )

    def started(self, call: Call, now_us: int) -> None:
        self._send(_frame("call.started", now_us, call))

    def retrying(self, call: Call, error: BaseException, delay_us: int) -> None:
        frame = _frame("call.retrying", self.clock(), call)
        self._send(
            {**frame, "try": call.try_number, "error": self.describe(error), "delay_us": delay_us}
        )

    def completed(
        self,
        call: Call,
        definition: Definition,
        started_us: int,
        value: Any,
        cache: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Gives the `result` it has sent; under `durable="sync"` once it is on disk."""
        result = self._result(
            value,
            definition.name,
            "the next attempt executes it again",
            pickled=definition.result == "pickle",
        )
        frame = self._ended(call, started_us, "completed", call.try_number)
        frame["result"] = result
        frame["code"] = code_of(definition)
        if cache is not None:
            frame["cache"] = cache
        if definition.durable == "sync":
            frame["durable"] = "sync"
        self._send(frame)
        if definition.durable == "sync":
            self._wait_durable(call.key)
        return result

    def failed(
        self, call: Call, outcome: CallFailure, started_us: int, error: BaseException, tries: int
    ) -> None:
        frame = self._ended(call, started_us, outcome, tries)
        frame["error"] = self.describe(error)
        self._send(frame)

    def waited(
        self,
        call: Call,
        since_us: int,
        over: dict[str, Any],
        error: HeadwayError | None = None,
        tries: int = 1,
    ) -> None:
        """A wait is over; what was answered is kept like a result. `error`: it was for a run that there is not, or that failed."""
        frame = self._ended(call, since_us, "completed" if error is None else "failed", tries)
        if error is not None:
            frame["error"] = self.describe(error)
        frame["result"] = self._result(over, call.name, "the next attempt waits again")
        self._send(frame)

    def asked(self, call: Call, wait: Mapping[str, Any]) -> None:
        """The flow waits for a person, here."""
        self.started(call, wait["since_us"])
        self._send({"type": "wait.started", "at_us": self.clock(), "wait": dict(wait)})

    def run_requested(self, call: Call, request: RunRequest, run: str) -> None:
        """The call asks for a run of this id. Begun and asked at one instant, so that a cut takes both or none."""
        at_us = self.clock()
        self.started(call, at_us)
        frame = _frame("run.requested", at_us, call)
        self._send({**frame, "run": run, **request.told()})

    def recorded(self, call: Call, since_us: int, value: Any) -> None:
        """Something that is done once over all attempts: returns when that is on disk."""
        frame = self._ended(call, since_us, "completed", 1)
        frame["result"] = self._result(value, call.name, "the next attempt does it again")
        frame["durable"] = "sync"
        self._send(frame)
        self._wait_durable(call.key)

    def attempt_suspended(self, waits: list[dict[str, Any]]) -> None:
        self._send(
            {
                "type": "attempt.ended",
                "at_us": self.clock(),
                "outcome": "suspended",
                "waits": waits,
            }
        )

    def skipped(self, call: Call, kept: Kept) -> None:
        if kept.file is not None:
            self._write_result.adopt(kept.file)
        if self.secrets is not None and "secrets" in kept.result:
            self.secrets.recall(kept.result, kept.file)
        frame = self._ended(call, self.clock(), "skipped", 0)
        frame["result"] = kept.result
        if kept.code:
            frame["code"] = kept.code
        self._send(frame)

    def cached(self, call: Call, hit: Hit, told: dict[str, Any]) -> dict[str, Any]:
        """A call that another run, or another call of this one, has made: gives the `result` it has sent."""
        frame = self._ended(call, self.clock(), "skipped", 0)
        frame["result"] = self._write_result.take(hit.payload, hit.file)
        frame["cause"] = "cached"
        frame["cache"] = told
        self._send(frame)
        result: dict[str, Any] = frame["result"]
        return result

    def found(self, call: Call, value: Any) -> None:
        """A call whose target was there."""
        frame = self._ended(call, self.clock(), "skipped", 0)
        frame["result"] = self._result(value, call.name, "the next attempt looks for its target")
        frame["cause"] = "target"
        self._send(frame)

    def tell(self, frame: dict[str, Any]) -> None:
        """A side output: an artifact, points of a metric, an event."""
        self._send(frame)

    def refuse_secrets(self, what: str, *texts: str) -> None:
        """For what is matched elsewhere by its digest: raises SecretError if a secret's value stands in it."""
        if self.secrets is not None:
            self.secrets.refuse(what, *texts)

    def log(self, level: str, call: str, text: str, logger: str) -> None:
        self._send(
            {
                "type": "log",
                "at_us": self.clock(),
                "level": level,
                "call": call,
                "text": text,
                "logger": logger,
            }
        )

    def _ended(self, call: Call, started_us: int, outcome: str, tries: int) -> dict[str, Any]:
        frame = _frame("call.ended", self.clock(), call)
        frame["started_at_us"] = started_us
        frame["outcome"] = outcome
        frame["tries"] = tries
        if call.ref != call.key:
            frame["ref"] = call.ref
        return frame

    def _result(self, value: Any, name: str, lost: str, *, pickled: bool = False) -> dict[str, Any]:
        """A value that cannot be kept is no failure of the call: the flow has it. `lost` says what follows from it.

        Raises ResultTooLarge, which is one.
        """
        try:
            most = self._write_result.most
            payload = payloads.encode(value, pickled=pickled, most=most)
            marks = None if self.secrets is None else self.secrets.marks(payload)
            if marks:
                self._write_result.stays_here(payload)
            result = self._write_result(payload)
        except ResultTooLarge as error:
            raise ResultTooLarge(error.limit, name) from None
        except (UnserializableResult, OSError) as error:
            self._warn_once(f"{name}: {lost}, for its result could not be kept: {error}")
            return self._write_result(payloads.NONE)
        if marks is not None:
            result["secrets"] = marks
        return result

    def _warn_once(self, text: str) -> None:
        """Ten thousand calls of one map have one reason."""
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("%s", text)


def _frame(kind: str, at_us: int, call: Call) -> dict[str, Any]:
    frame: dict[str, Any] = {
        "type": kind,
        "at_us": at_us,
        "call": call.key,
        "parent": call.parent,
        "kind": call.kind,
        "name": call.name,
    }
    if call.run_name:
        frame["run_name"] = call.run_name
    return frame
