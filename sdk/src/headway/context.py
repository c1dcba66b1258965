"""Where code is: the present call of the present run. Outside a run there is none, and everything is a plain call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from headway.errors import NotInRun

if TYPE_CHECKING:
    from datetime import datetime

    from headway.artifacts import ArtifactSpec
    from headway.definitions import Definition
    from headway.events import EventSpec
    from headway.futures import Future
    from headway.runtime.transactions import Scope, Step
    from headway.transactions import Transaction
    from headway.variables import VariableSpec
    from headway.waits import Over, WaitSpec


class RunContext(NamedTuple):
    """Facts about the present run and the call that asks."""

    run: str
    """The run's id."""
    attempt: int
    """The attempt's fence; grows with each attempt of the run, not always by one."""
    run_name: str
    flow: str
    """Name of the flow that the run executes."""
    deployment: str
    call: str
    """Journal key of the present call; `root` in the flow itself. Equal in the next attempt for the equal call."""
    call_name: str
    try_number: int
    """From 1; grows with the retries of the present task."""
    call_run_name: str = ""
    """What `task_run_name` or `flow_run_name` made for the present call; empty without one."""
    parameters: Mapping[str, Any] = MappingProxyType({})
    """The run's parameters by name, as JSON has them."""
    environment: str = ""
    """Name of the agent's environment that executes it."""
    tags: tuple[str, ...] = ()
    """The run's tags, with those of its deployment."""
    scheduled_time: datetime | None = None
    """When the run was to begin, in UTC: the time that was asked for, equal in all its attempts; when it was made, if none was.
    None from an agent or a control plane that does not tell it."""
    run_url: str = ""
    """Address of the run's page; empty where the control plane knows none (`HEADWAY_PUBLIC_URL`)."""
    flow_version: str = ""
    """`@flow(version=)` of the deployment that the run was made with."""
    started_by: str = ""
    """Who had the run made, as its history names them: a token or a browser session, `run/<id>` for a run that called `run_deployment`.
    Empty where nobody tells it: under an older agent, or when the run is so old that its beginning is archived."""

    @property
    def parent_run(self) -> str:
        """The id of the run that started this one by `run_deployment`; empty where none did."""
        return self.started_by[4:] if self.started_by.startswith("run/") else ""


class Engine(Protocol):
    """What executes calls inside a run."""

    facts: Mapping[str, Any]

    def call(
        self, parent: Call, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The call's value, or for an async function the coroutine that gives it."""

    def wait(self, parent: Call, spec: WaitSpec) -> Over:
        """The end of a wait; raises Suspended where it lies beyond this attempt."""

    def identify_wait(self, parent: Call, spec: WaitSpec) -> Call:
        """The node of a wait that is reached next; its key is settled."""

    def reach_wait(self, parent: Call, call: Call, spec: WaitSpec) -> Over:
        """As `wait`, for a node that was identified."""

    def child_result(self, call: Call, run: str, fence: int) -> Any:
        """What a run that this one has started returned. Raises ResultElsewhere."""

    def open_transaction(self, parent: Call, transaction: Transaction) -> Scope:
        """Makes a node for the calls that follow here."""

    def close_transaction(self, scope: Scope, error: BaseException | None) -> None:
        """Waits for its calls, then commits or rolls back. Raises what keeps it from being committed."""

    async def close_transaction_async(self, scope: Scope, error: BaseException | None) -> None:
        """As `close_transaction`, on a loop."""

    def save_artifact(self, parent: Call, spec: ArtifactSpec) -> str:
        """The artifact's id."""

    def move_progress(self, parent: Call, artifact: str, percent: float) -> None:
        """Tells how far a progress has come."""

    def record_metric(
        self, parent: Call, name: str, unit: str, value: float, step: int | None
    ) -> None:
        """Takes in one point."""

    def emit_event(self, parent: Call, spec: EventSpec) -> None:
        """Emits, once over all attempts."""

    def write_variable(self, parent: Call, spec: VariableSpec) -> None:
        """Sets or deletes it, once over all attempts."""

    def submit(
        self,
        parent: Call,
        definition: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        after: Sequence[Any] = (),
    ) -> Future[Any]:
        """The call's future. The call's key is settled before this returns. `after`: what it waits for besides."""


class Call:
    """One node of the attempt's tree of calls."""

    __slots__ = (
        "_ordinals",
        "children",
        "deadline",
        "engine",
        "first_ordinal",
        "held",
        "is_found",
        "key",
        "kind",
        "log_prints",
        "may_wait",
        "name",
        "on_loop",
        "parent",
        "ref",
        "remote",
        "run_name",
        "scope",
        "step",
        "try_number",
    )

    def __init__(
        self, engine: Engine, key: str, parent: str, kind: str, name: str, *, on_loop: bool
    ) -> None:
        self.engine = engine
        self.key = key
        self.parent = parent
        self.ref = key
        """What stands for its result in the keys of calls that take it unread."""
        self.kind = kind
        self.may_wait = kind == "flow"
        """Waits stand in the body of a flow, also inside a transaction there."""
        self.name = name
        self.on_loop = on_loop
        self.try_number = 1
        self.first_ordinal = 0
        self.run_name = ""
        self.log_prints = False
        self.is_found = False
        """Its target was there, so it is not executed."""
        self.scope: Scope | None = None
        """Of a transaction's node."""
        self.step: Step | None = None
        """Of a task that was called in a transaction."""
        self.held: tuple[str, ...] = ()
        """Keys in the cache whose results are being made by this call and those around it."""
        self.remote = False
        """Its body is executed by the run's task runner, not here."""
        # By the monotonic clock: when the time of this try, or of a call around it, is up.
        self.deadline: float | None = None
        # Made when needed: most calls make no calls, and there may be a hundred thousand.
        self.children: set[Future[Any]] | None = None
        self._ordinals: dict[int, int] | None = None

    def next_ordinal(self, name: str, digest: str) -> int:
        """0, 1, 2 ... among equal calls of this node.

        What is remembered of each is a number of 64 bits, for a loop may make millions of calls. Should two ever share
        it, one begins at 1, which is as good a name for it.
        """
        seen = hash((name, digest))
        with _making:
            if self._ordinals is None:
                self._ordinals = {}
            ordinal = self._ordinals.get(seen, self.first_ordinal)
            self._ordinals[seen] = ordinal + 1
        return ordinal

    def adopt(self, child: Future[Any]) -> None:
        """Waits for the child at its end. Failures stay until then, for somebody may still look; values do not."""
        children = self.children
        if children is None:
            with _making:
                children = self.children = set() if self.children is None else self.children
        children.add(child)
        child.on_done(self._ended)

    def _ended(self, child: Future[Any]) -> None:
        if child.unseen_error() is None and self.children is not None:
            self.children.discard(child)


_making = RLock()
_current: ContextVar[Call | None] = ContextVar("headway_call", default=None)
_root: Call | None = None


def current_call() -> Call | None:
    """The call that executes here. Threads that user code starts by itself belong to the flow."""
    return _current.get() or _root


def enter(call: Call) -> Token[Call | None]:
    return _current.set(call)


def leave(token: Token[Call | None]) -> None:
    _current.reset(token)


def set_root(call: Call | None) -> None:
    """Declares the flow of this process; None when it is over."""
    global _root
    _root = call


def leave_run() -> None:
    """This process is no part of the run, whatever code of it goes on here: from now on calls are plain."""
    set_root(None)
    _current.set(None)


def context_of(call: Call) -> RunContext:
    """The call, as user code sees it."""
    facts = call.engine.facts
    return RunContext(
        run=facts["run"],
        attempt=facts["fence"],
        run_name=facts["run_name"],
        flow=facts["flow"],
        deployment=facts["deployment"],
        call=call.key,
        call_name=call.name,
        try_number=call.try_number,
        call_run_name=call.run_name,
        parameters=dict(facts.get("parameters", {})),
        environment=facts.get("environment", ""),
        tags=tuple(facts.get("tags", ())),
        scheduled_time=_moment(facts.get("due_at_us", 0)),
        run_url=facts.get("run_url", ""),
        flow_version=facts.get("flow_version", ""),
        started_by=facts.get("started_by", ""),
    )


def _moment(at_us: int) -> datetime | None:
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - `import headway` stays light

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us) if at_us else None


def run_context() -> RunContext:
    """The present run: id, attempt, names, and the call that asks.

    Raises `NotInRun` outside a run, where a flow is a plain function call without run or attempt.
    """
    call = current_call()
    if call is None:
        raise NotInRun("no run here: the flow was called directly. Start a run with `headway run`.")
    return context_of(call)
