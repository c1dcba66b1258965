"""Runs of other deployments, asked for by a flow: started elsewhere, waited for without a process and without a slot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from headway.context import Call, current_call
from headway.errors import (
    ChildRunFailed,
    HeadwayError,
    InvalidOption,
    NotInFlow,
    NotInRun,
    RunRefused,
    Suspended,
    WaitTimedOut,
)
from headway.futures import Future
from headway.parameters.plain import NotPlain, plain
from headway.waits import Duration, Over, WaitSpec, checked_name, seconds_of

OnParentCancelled = Literal["cancel", "leave"]
MOST_PARAMETERS = 250 * 1024
MOST_TAGS = 50
_FINAL = ("completed", "failed", "crashed", "cancelled")


class RunRequest(NamedTuple):
    """The run that is wanted, as its frame tells it. `due_us` 0: at once."""

    deployment: str
    parameters: Mapping[str, Any]
    tags: Sequence[str]
    run_name: str
    due_us: int
    waited: bool
    outlives: bool

    def told(self) -> dict[str, Any]:
        frame: dict[str, Any] = {
            "parameters": dict(self.parameters),
            "waited": self.waited,
            "outlives": self.outlives,
        }
        if self.run_name or self.tags:
            frame["labels"] = {"name": self.run_name, "tags": list(self.tags)}
        if self.due_us:
            frame["due_us"] = self.due_us
        return frame


@dataclass(frozen=True)
class ChildRun:
    """A run that a flow has started, as it was when the flow heard of it."""

    id: str
    """As `headway runs show` takes it."""
    name: str
    deployment: str
    state: str
    """`completed`, `failed`, `crashed` or `cancelled`; `unfinished` where nobody waited to its end."""
    error_class: str = ""
    fence: int = 0
    """Of the attempt that ended it."""

    @property
    def is_final(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in _FINAL

    @property
    def is_completed(self) -> bool:
        return self.state == "completed"

    def result(self) -> Any:
        """What its flow returned.

        The value stays where the run was executed, and is read there if that was this agent. What another one executed comes from
        the store of results, if both agents have one (`HEADWAY_AGENT_RESULTS`); it may take seconds until it is there.

        Raises:
            ChildRunFailed: It failed, crashed or was cancelled.
            WaitTimedOut: It had not ended when this was last heard of.
            ResultElsewhere: It completed, and its value is not to be had on this machine.
        """
        if not self.is_final:
            raise WaitTimedOut(
                f"run {self.id} of {self.deployment} had not ended; see: headway runs show {self.id}"
            )
        if not self.is_completed:
            raise ChildRunFailed(self.id, self.deployment, self.state, self.error_class)
        call = current_call()
        if call is None:
            raise NotInRun("a child's result is read inside the run that started it")
        return call.engine.child_result(call, self.id, self.fence)


def run_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,
    scheduled_time: datetime | None = None,
    run_name: str = "",
    tags: Sequence[str] = (),
    on_parent_cancelled: OnParentCancelled = "cancel",
    raise_on_failure: bool = False,
) -> ChildRun:
    """Starts a run of a deployment and waits for its end, without a process and without a slot.

    However often this run crashes, is retried or resumed, one call starts one run. Async code may call it too: it never
    blocks; for `asyncio.gather` there is `run_deployment_async`, and `submit_deployment` for what goes on meanwhile.

    Args:
        name: Of the deployment, or its id.
        parameters: Merged over the deployment's defaults and checked against its schema; what JSON has a form for.
        timeout: Seconds after which the flow goes on without it (the run is left alone, its `state` is `unfinished`);
            0 does not wait at all; None waits to the end.
        scheduled_time: Not before this instant, which needs a zone.
        run_name: A name for people; one is made up where this is empty.
        tags: Of the run, besides the deployment's.
        on_parent_cancelled: Whether a cancel of this run ends the other one (`cancel`), if it was waited for, or not (`leave`).
        raise_on_failure: Raises ChildRunFailed for one that did not complete, instead of giving it.

    Raises:
        RunRefused: There is no such deployment, the parameters do not fit, runs are nested too deeply, or the pool of this
            run does not let out what is needed. `code` and `problems` say which.
        ChildRunFailed: See `raise_on_failure`.
        InvalidOption: An argument is none that could be meant.
        NotInRun, NotInFlow: There is no run here, or a task calls it.
    """
    call, spec, request = _asked(
        name, parameters, timeout, scheduled_time, run_name, tags, on_parent_cancelled
    )
    return _of(request, call.engine.wait(call, spec), raise_on_failure=raise_on_failure)


async def run_deployment_async(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,  # noqa: ASYNC109 - of the wait, which outlives this process
    scheduled_time: datetime | None = None,
    run_name: str = "",
    tags: Sequence[str] = (),
    on_parent_cancelled: OnParentCancelled = "cancel",
    raise_on_failure: bool = False,
) -> ChildRun:
    """As `run_deployment`, to be awaited: `await asyncio.gather(*(run_deployment_async(...) for ...))` waits for all at once."""
    return run_deployment(
        name,
        parameters,
        timeout=timeout,
        scheduled_time=scheduled_time,
        run_name=run_name,
        tags=tags,
        on_parent_cancelled=on_parent_cancelled,
        raise_on_failure=raise_on_failure,
    )


def submit_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,
    scheduled_time: datetime | None = None,
    run_name: str = "",
    tags: Sequence[str] = (),
    on_parent_cancelled: OnParentCancelled = "cancel",
    raise_on_failure: bool = False,
) -> Future[ChildRun]:
    """Starts a run of a deployment and gives the future of its end; the flow goes on.

    `[f.result() for f in [submit_deployment("part", {"n": n}) for n in range(500)]]` runs 500 at once. The flow is suspended
    when it needs the outcome of one that has not ended (at the latest at its own end); it waits for 1000 at a time, the rest has its turn later.
    Arguments and errors are those of `run_deployment`; what is refused, and a failure, is raised by the future.
    """
    call, spec, request = _asked(
        name, parameters, timeout, scheduled_time, run_name, tags, on_parent_cancelled
    )
    wait = call.engine.identify_wait(call, spec)
    future: Future[ChildRun] = Future(wait.ref)
    try:
        over = call.engine.reach_wait(call, wait, spec)
        future.complete(_of(request, over, raise_on_failure=raise_on_failure))
    except (HeadwayError, Suspended) as error:
        future.fail(error)
    call.adopt(future)
    return future


def _asked(
    name: str,
    parameters: Mapping[str, Any] | None,
    timeout: Duration | None,
    scheduled_time: datetime | None,
    run_name: str,
    tags: Sequence[str],
    on_parent_cancelled: str,
) -> tuple[Call, WaitSpec, RunRequest]:
    call = current_call()
    if call is None:
        raise NotInRun(
            "no run here that could start another: run this with `headway run`, or start one with POST /api/v1/runs"
        )
    if not call.may_wait:
        raise NotInFlow(
            f"{call.name} is a task: start runs of deployments in the flow that calls it"
        )
    if on_parent_cancelled not in ("cancel", "leave"):
        raise InvalidOption(
            f"on_parent_cancelled is 'cancel' or 'leave', not {on_parent_cancelled!r}"
        )
    seconds = None if timeout is None else seconds_of("timeout", timeout)
    request = RunRequest(
        checked_name(name),
        _parameters(name, parameters),
        _tags(tags),
        checked_name(run_name) if run_name else "",
        _due_us(scheduled_time),
        waited=seconds != 0,
        outlives=on_parent_cancelled == "leave",
    )
    identity = {
        "deployment": request.deployment,
        "parameters": request.parameters,
        "tags": list(request.tags),
        "run_name": request.run_name,
        "waited": request.waited,
    }
    return call, WaitSpec("run", request.deployment, identity, seconds, run=request), request


def failure_of(request: RunRequest, value: object) -> RunRefused | ChildRunFailed | None:
    """Why the answer to the call is no success of the run that it asked for."""
    told = value if isinstance(value, dict) else {}
    refused = told.get("refused")
    if isinstance(refused, dict):
        return RunRefused(
            request.deployment,
            str(refused.get("code", "")),
            str(refused.get("message", "")),
            str(refused.get("hint", "")),
            [(str(path), str(message)) for path, message in refused.get("problems") or ()],
        )
    child = _child(request, told)
    if not child.is_final or child.is_completed:
        return None
    return ChildRunFailed(child.id, child.deployment, child.state, child.error_class)


def _of(request: RunRequest, over: Over, *, raise_on_failure: bool) -> ChildRun:
    failure = failure_of(request, over.value)
    if isinstance(failure, RunRefused) or (raise_on_failure and failure is not None):
        raise failure
    return _child(request, over.value if isinstance(over.value, dict) else {})


def _child(request: RunRequest, told: Mapping[str, Any]) -> ChildRun:
    return ChildRun(
        id=str(told.get("run", "")),
        name=str(told.get("name", "")),
        deployment=request.deployment,
        state=str(told.get("state", "unfinished")),
        error_class=str(told.get("error_class", "")),
        fence=int(told.get("fence", 0)),
    )


def _parameters(deployment: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    names: list[object] = list(given)
    if not hasattr(given, "items") or not all(isinstance(name, str) for name in names):
        raise InvalidOption(f"parameters of {deployment!r} must be a mapping by name")
    try:
        values = {name: plain(value) for name, value in given.items()}
    except NotPlain as error:
        raise InvalidOption(
            f"a parameter for {deployment!r} has no JSON form: {error}. Pass plain data, or the name of where it lies"
        ) from None
    size = len(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MOST_PARAMETERS:
        raise InvalidOption(
            f"the parameters for {deployment!r} take {size:,} bytes; the limit is {MOST_PARAMETERS:,}. Put large data into "
            "a file or an object store and pass its name"
        )
    return values


def _tags(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or len(given) > MOST_TAGS:
        raise InvalidOption(f"tags are a list of at most {MOST_TAGS} words")
    return tuple(checked_name(tag) for tag in given)


def _due_us(when: datetime | None) -> int:
    if when is None:
        return 0
    if when.tzinfo is None:
        raise InvalidOption(f"scheduled_time needs a zone, not {when!r}")
    return max(0, round(when.timestamp() * 1e6))
