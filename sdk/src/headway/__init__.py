"""Headway: plain Python functions as durable workflows.

Decorate functions with `@flow` and `@task`. Called directly they are the plain functions; run by an agent, each task call is
recorded, and a new attempt skips what has completed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headway import variables as variables
from headway.caching import FLOW_PARAMETERS, INPUTS, SOURCE, CachePolicy
from headway.context import RunContext, run_context
from headway.errors import (
    Cancelled,
    ChildRunFailed,
    EntrypointError,
    EntrypointNotFound,
    ForgottenAwait,
    HeadwayError,
    InvalidOption,
    NotAFlow,
    NotInFlow,
    NotInRun,
    OutputRefused,
    ParameterError,
    Problem,
    ResultElsewhere,
    ResultTooLarge,
    RolledBack,
    RunRefused,
    SecretError,
    SecretNotFound,
    Suspended,
    TargetMissing,
    TimedOut,
    UnserializableResult,
    VariableNotFound,
    VariableRefused,
    WaitTimedOut,
    WorkerDied,
    WrongInput,
    WrongTarget,
)
from headway.flows import Flow, flow
from headway.futures import Future, Futures, allow_failure, as_completed, unmapped, wait
from headway.hooks import StateChange
from headway.options import exponential
from headway.runners import AsyncRunner, ProcessRunner, TaskRunner, ThreadRunner
from headway.secrets import Secret, SecretProvider, ShortSecret, redact, secret
from headway.tasks import Task, task
from headway.transactions import Transaction, TransactionStep, transaction
from headway.version import __version__

if TYPE_CHECKING:
    from headway import artifacts as artifacts
    from headway import metrics as metrics
    from headway.child_runs import (
        ChildRun,
        run_deployment,
        run_deployment_async,
        submit_deployment,
    )
    from headway.events import emit_event
    from headway.graph_steps import InvalidGraph
    from headway.graphs import dag_flow
    from headway.logs import get_run_logger
    from headway.payloads import register_codec
    from headway.target_kinds import FileTarget, TableTarget
    from headway.waits import pause, sleep, sleep_until, suspend, wait_for_event, wait_for_input

__all__ = [
    "FLOW_PARAMETERS",
    "INPUTS",
    "SOURCE",
    "AsyncRunner",
    "CachePolicy",
    "Cancelled",
    "ChildRun",
    "ChildRunFailed",
    "EntrypointError",
    "EntrypointNotFound",
    "FileTarget",
    "Flow",
    "ForgottenAwait",
    "Future",
    "Futures",
    "HeadwayError",
    "InvalidGraph",
    "InvalidOption",
    "NotAFlow",
    "NotInFlow",
    "NotInRun",
    "OutputRefused",
    "ParameterError",
    "Problem",
    "ProcessRunner",
    "ResultElsewhere",
    "ResultTooLarge",
    "RolledBack",
    "RunContext",
    "RunRefused",
    "Secret",
    "SecretError",
    "SecretNotFound",
    "SecretProvider",
    "ShortSecret",
    "StateChange",
    "Suspended",
    "TableTarget",
    "TargetMissing",
    "Task",
    "TaskRunner",
    "ThreadRunner",
    "TimedOut",
    "Transaction",
    "TransactionStep",
    "UnserializableResult",
    "VariableNotFound",
    "VariableRefused",
    "WaitTimedOut",
    "WorkerDied",
    "WrongInput",
    "WrongTarget",
    "__version__",
    "allow_failure",
    "as_completed",
    "dag_flow",
    "emit_event",
    "exponential",
    "flow",
    "get_run_logger",
    "pause",
    "redact",
    "register_codec",
    "run_context",
    "run_deployment",
    "run_deployment_async",
    "secret",
    "sleep",
    "sleep_until",
    "submit_deployment",
    "suspend",
    "task",
    "transaction",
    "unmapped",
    "wait",
    "wait_for_event",
    "wait_for_input",
]

# Loaded on first use: logging alone costs a third of what everything else here does.
_LAZY = {
    "ChildRun": "headway.child_runs",
    "run_deployment": "headway.child_runs",
    "run_deployment_async": "headway.child_runs",
    "submit_deployment": "headway.child_runs",
    "FileTarget": "headway.target_kinds",
    "InvalidGraph": "headway.graph_steps",
    "TableTarget": "headway.target_kinds",
    "dag_flow": "headway.graphs",
    "emit_event": "headway.events",
    "get_run_logger": "headway.logs",
    "register_codec": "headway.payloads",
    "pause": "headway.waits",
    "sleep": "headway.waits",
    "sleep_until": "headway.waits",
    "suspend": "headway.waits",
    "wait_for_event": "headway.waits",
    "wait_for_input": "headway.waits",
}
_MODULES = ("artifacts", "metrics")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"headway.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'headway' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
