"""What the SDK raises. An error class stands for a different reaction; facts are attributes."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class HeadwayError(Exception):
    """Root of the SDK's errors."""


class Cancelled(BaseException):
    """The run was cancelled. Raised in the main thread and in task threads; `except Exception` does not catch it.

    Clean up in `finally` or `except Cancelled` and raise it again. Tasks called after it was raised raise it too.
    In async code the same wish arrives as `asyncio.CancelledError`.
    """

    def __init__(self, message: str = "the run was cancelled") -> None:
        super().__init__(message)


class TimedOut(HeadwayError, TimeoutError):
    """A call or an attempt took longer than its `timeout`, and was stopped. A call's retries count it as any error."""


class WorkerDied(HeadwayError, RuntimeError):
    """A process of a `ProcessRunner` ended while it executed a call: killed, out of memory, or by its own choice."""


class Suspended(BaseException):
    """The flow waits for a time, a person or an event, and its process ends until then. `except Exception` does not catch it.

    Let it pass. What stands in `finally` runs with each suspension, not once.
    """

    def __init__(self, message: str = "the flow waits; a later attempt goes on from here") -> None:
        super().__init__(message)


class WaitTimedOut(HeadwayError, TimeoutError):
    """Nobody answered, or no event came, in time."""


class RunRefused(HeadwayError, ValueError):
    """A run of a deployment was asked for and is not made. `code` says why in a word, `problems` what is wrong with the parameters."""

    def __init__(
        self,
        deployment: str,
        code: str,
        message: str,
        hint: str = "",
        problems: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.deployment = deployment
        self.code = code
        self.message = message
        self.hint = hint
        self.problems = tuple(Problem(path, text) for path, text in problems)
        lines = "".join(f"\n  {path}: {text}" for path, text in self.problems)
        advice = f"\n{hint}" if hint else ""
        super().__init__(f"no run of {deployment!r} was started: {message}{lines}{advice}")


class ChildRunFailed(HeadwayError, RuntimeError):
    """A run that this one has started did not complete. `state` is failed, crashed or cancelled."""

    def __init__(self, run: str, deployment: str, state: str, error_class: str = "") -> None:
        self.run = run
        self.deployment = deployment
        self.state = state
        self.error_class = error_class
        why = f" with {error_class}" if error_class else ""
        super().__init__(
            f"run {run} of {deployment} {state if state != 'cancelled' else 'was cancelled'}{why}; see: headway runs show {run}"
        )


class ResultElsewhere(HeadwayError, LookupError):
    """The other run completed, and its value is not to be had on this machine."""

    def __init__(self, run: str, why: str) -> None:
        self.run = run
        super().__init__(
            f"the result of run {run} cannot be read here: {why}. Give both agents one store of results (HEADWAY_AGENT_RESULTS), "
            "have both deployments executed by one agent, or let the other flow return the name of what it wrote"
        )


class RolledBack(HeadwayError, RuntimeError):
    """An earlier attempt died while it rolled a transaction back; this one has finished that. The next begins it anew."""

    def __init__(self, why: str) -> None:
        super().__init__(f"an earlier attempt was rolling this transaction back, for {why}")


class TargetMissing(HeadwayError, RuntimeError):
    """A task has returned, and what it was to make is not there."""


class WrongTarget(HeadwayError, TypeError):
    """A task has a target that cannot say whether it exists, or returned something else than its target."""


class NotInFlow(HeadwayError, RuntimeError):
    """A wait stands in the body of a flow, not in a task: a task is executed again as a whole."""


class InvalidOption(HeadwayError, ValueError):
    """A flow or task cannot work with this option, or with this function at all. Raised by the decorator."""


class OutputRefused(HeadwayError, ValueError):
    """An artifact, a metric or an event cannot be kept like this; the message says what to do. Raised by the call that saves it."""


class NotInRun(HeadwayError, RuntimeError):
    """Asked for the present run where there is none."""


class SecretError(HeadwayError):
    """A secret cannot be had: its name is none, its file or its provider fails, or this process may not look."""


class SecretNotFound(SecretError, LookupError):
    """No place has this secret. `name` is what was asked for, `places` where it was looked for."""

    def __init__(self, name: str, places: Sequence[str], advice: str) -> None:
        self.name = name
        self.places = tuple(places)
        self._advice = advice
        super().__init__(f"no secret {name!r}: not in {', nor in '.join(self.places)}. {advice}")

    def __reduce__(self) -> tuple[type["SecretNotFound"], tuple[str, tuple[str, ...], str]]:
        return SecretNotFound, (self.name, self.places, self._advice)


class VariableNotFound(HeadwayError, LookupError):
    """The workspace has no such variable, or this is no run. `name` is what was asked for."""

    def __init__(self, name: str, *, in_run: bool) -> None:
        self.name = name
        self._in_run = in_run
        advice = (
            f"Set it with `headway variables set {name} VALUE`, and start a new attempt; or give a default."
            if in_run
            else "Outside a run there are none: give a default, or run the flow by an agent or by headway.testing."
        )
        super().__init__(f"no variable {name!r}. {advice}")

    def __reduce__(self) -> tuple[Any, tuple[str, bool]]:
        return _variable_not_found, (self.name, self._in_run)


class VariableRefused(HeadwayError, RuntimeError):
    """This run cannot set variables: their names and values may not leave its pool, or its agent is too old. The message says what to do."""


def _variable_not_found(name: str, in_run: bool) -> VariableNotFound:  # noqa: FBT001 - pickle's
    return VariableNotFound(name, in_run=in_run)


class ForgottenAwait(HeadwayError, RuntimeError):
    """Code on an event loop waited, blocking, for something that this very loop has to do."""


class UnserializableResult(HeadwayError, TypeError):
    """A value has no encoding that a later attempt could read. `type_name` names what stood in the way."""

    def __init__(self, type_name: str, reason: str = "") -> None:
        self.type_name = type_name
        super().__init__(
            f"a value of type {type_name} cannot be kept{': ' + reason if reason else ''}; return plain data, register a codec"
            ' (headway.register_codec), or opt in to pickle with @task(result="pickle")'
        )


class ResultTooLarge(HeadwayError, ValueError):
    """A call's encoded result has more bytes than one value may have. The call fails, for no later attempt could skip it.

    `limit` is the most, in bytes; `call` names the call.
    """

    def __init__(self, limit: int, call: str = "") -> None:
        self.limit = limit
        self.call = call
        super().__init__(
            f"the result of {call or 'a call'} has more than {limit} bytes, which is the most that this agent keeps of one value;"
            " write it to a file or store of yours and return its path, return it in parts, or raise HEADWAY_AGENT_RESULT_MAX"
        )


class EntrypointError(HeadwayError):
    """The entry point `package.module:name` does not lead to a flow; nothing of it was executed."""


class EntrypointNotFound(EntrypointError):
    """There is no such module below the root, or the module has no such name."""


class NotAFlow(EntrypointError):
    """The entry point names something that is not decorated with `@flow`, or a flow that cannot be started by name."""


class Problem(NamedTuple):
    """One thing wrong with the parameters: where (`config.rows[3]`) and what."""

    path: str
    message: str


class ParameterError(HeadwayError, ValueError):
    """The parameters do not fit the flow's signature. `problems` holds all that is wrong, not only the first."""

    def __init__(self, flow: str, problems: Sequence[Problem]) -> None:
        self.flow = flow
        self.problems = tuple(problems)
        lines = "\n".join(f"  {path}: {message}" for path, message in self.problems)
        super().__init__(f"parameters of flow {flow!r} are wrong:\n{lines}")


class WrongInput(HeadwayError, ValueError):
    """The value of an event cannot be read as what the flow waits for. `problems` holds all that is wrong."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {path}: {message}" for path, message in self.problems)
        super().__init__(f"what came for {name!r} is wrong:\n{lines}")


# Users import these from `headway`; tracebacks and error frames name them so.
for _public in (
    HeadwayError,
    Cancelled,
    Suspended,
    WaitTimedOut,
    WrongInput,
    RunRefused,
    ChildRunFailed,
    ResultElsewhere,
    RolledBack,
    NotInFlow,
    TimedOut,
    WorkerDied,
    InvalidOption,
    NotInRun,
    SecretError,
    SecretNotFound,
    VariableNotFound,
    VariableRefused,
    ForgottenAwait,
    ResultTooLarge,
    UnserializableResult,
    EntrypointError,
    EntrypointNotFound,
    NotAFlow,
    ParameterError,
):
    _public.__module__ = "headway"
