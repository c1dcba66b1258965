"""What each public name of Prefect 3 is in Headway: one table, for the shim, for `headway migrate prefect` and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Group = Literal[
    "import",
    "flow option",
    "task option",
    "flow method",
    "task method",
    "call option",
    "prefect.yaml",
    "deployment",
]
Status = Literal["same", "differs", "missing"]


class Mapped(NamedTuple):
    """One name."""

    status: Status
    """`same`: as it is, by headway.compat.prefect or ours; `differs`: there is an equivalent, mind the note; `missing`."""
    ours: str
    """`headway.task`, an option `@task(retry_delay)`, or a command `headway deploy --name`; empty when missing."""
    note: str = ""


def _same(ours: str, note: str = "") -> Mapped:
    return Mapped("same", ours, note)


def _differs(ours: str, note: str) -> Mapped:
    return Mapped("differs", ours, note)


def _missing(note: str) -> Mapped:
    return Mapped("missing", "", note)


_ALWAYS_KEPT = "results of tasks are always kept in the run's journal, in your network"
_STATES = "calls give values and raise errors: use Future.exception(), or hooks with a StateChange"
_NO_ID = "it gives no id; artifacts are found by their key"
_STEP = "our hooks take a TransactionStep"
_OF_BLOCKS = "of one run: no key, store, commit mode or isolation level; in async code `async with`"
_IN_BLOCKS = "in a transaction() block alone, of tasks that have completed"
_RUNS_BY_API = "use the REST API or `headway runs`"

IMPORTS: Final[Mapping[str, Mapped]] = {
    "flow": _same("headway.flow"),
    "task": _same("headway.task"),
    "Flow": _same("headway.Flow"),
    "Task": _same("headway.Task"),
    "get_run_logger": _same("headway.get_run_logger"),
    "unmapped": _same("headway.unmapped"),
    "allow_failure": _same(
        "headway.allow_failure", "the call gets the error itself in place of the value"
    ),
    "wait": _same("headway.wait"),
    "as_completed": _same("headway.as_completed"),
    "exponential_backoff": _same("headway.exponential"),
    "ThreadPoolTaskRunner": _same("headway.ThreadRunner"),
    "ConcurrentTaskRunner": _same("headway.ThreadRunner"),
    "ProcessPoolTaskRunner": _same("headway.ProcessRunner"),
    "PrefectFuture": _same("headway.Future"),
    "PrefectFutureList": _same("headway.Futures"),
    "pause_flow_run": _differs(
        "headway.pause",
        "of the present run alone; in the shim `wait_for_input=` and `timeout=`; `headway.wait_for_input` holds no process",
    ),
    "suspend_flow_run": _differs(
        "headway.suspend", "of the present run alone; in the shim `wait_for_input=` and `timeout=`"
    ),
    "runtime": _differs(
        "headway.run_context",
        "ids and names of the run and the call, its parameters, tags, scheduled time and page",
    ),
    "INPUTS": _same("headway.INPUTS"),
    "TASK_SOURCE": _same("headway.SOURCE"),
    "FLOW_PARAMETERS": _same("headway.FLOW_PARAMETERS"),
    "RUN_ID": _differs(
        "headway.run_context", "a part of a policy; within a run the journal skips anyway"
    ),
    "DEFAULT": _differs("headway.CachePolicy", "the inputs, the source and the run"),
    "NO_CACHE": _same("@task(cache)", "the journal still skips what this very run completed"),
    "CachePolicy": _same("headway.CachePolicy"),
    "task_input_hash": _differs("headway.INPUTS", "a policy and not a function"),
    "tags": _missing("give tags to `@flow`, `@task` or `headway deploy --tag`"),
    "serve": _missing("`headway deploy`, and an agent that executes it"),
    "deploy": _missing("`headway deploy`"),
    "get_client": _missing(_RUNS_BY_API),
    "resume_flow_run": _missing("`headway runs input` or `headway runs resume`"),
    "run_deployment": _differs(
        "headway.run_deployment",
        "the flow is suspended meanwhile; gives a headway.ChildRun, whose `state` is a word; no queues, no job variables",
    ),
    "State": _differs("headway.StateChange", "what hooks are given; calls give values, not states"),
    "states": _missing(_STATES),
    "Completed": _missing(_STATES),
    "Failed": _missing(_STATES),
    "Transaction": _differs("headway.Transaction", f"values by `set` and `get`; {_STEP}"),
    "transaction": _differs("headway.transaction", _OF_BLOCKS),
    "atransaction": _differs("headway.transaction", _OF_BLOCKS),
    "get_transaction": _missing("`with transaction() as txn` in the flow; tasks return values"),
    "CommitMode": _missing("a transaction commits at the end of its outermost block"),
    "IsolationLevel": _missing("of equal calls with a cache policy one is executed at a time"),
    "quote": _missing("arguments are looked into at little cost: pass the value"),
    "opaque": _missing("arguments are looked into at little cost: pass the value"),
    "concurrency": _missing("a task runner bounds calls of one run: ThreadRunner(max_workers=...)"),
    "rate_limit": _missing("a task runner bounds calls of one run: ThreadRunner(max_workers=...)"),
    "RunInput": _missing("any dataclass: wait_for_input(Decision)"),
    "artifacts": _missing("import its functions by name, or use `headway.artifacts`"),
    "create_markdown_artifact": _same("headway.artifacts.markdown", _NO_ID),
    "create_table_artifact": _same("headway.artifacts.table", _NO_ID),
    "create_link_artifact": _same("headway.artifacts.link", _NO_ID),
    "create_image_artifact": _same("headway.artifacts.image", _NO_ID),
    "create_progress_artifact": _differs("headway.artifacts.progress", "it gives a handle"),
    "update_progress_artifact": _differs("headway.artifacts.progress", "`.update` of its handle"),
    "emit_event": _differs("headway.emit_event", "a name, a key and a value; no resources"),
    "assets": _missing("no equivalent"),
    "blocks": _missing("headway.secret for Secret blocks; for others parameters or variables"),
    "variables": _missing("import Variable itself, or use headway.variables"),
    "Variable": _differs(
        "headway.variables",
        "an attempt sees the variables as they were when it began and what its run has set; other runs see that when they are created after it",
    ),
    "Secret": _differs(
        "headway.secret",
        "the value is looked up on the agent's machine (environments.toml) and never stored by the server; `load(name).get()` in the shim",
    ),
    "events": _missing("import emit_event by name, or use `headway.emit_event`"),
    "automations": _missing("no equivalent"),
    "schedules": _missing("no equivalent: have cron call `headway run`"),
    "filesystems": _missing("results stay on the agent's machine"),
    "integrations": _missing("of prefect_* packages: call the library itself in a task"),
    "DaskTaskRunner": _missing("ProcessRunner on one machine, or an adapter of headway.TaskRunner"),
    "RayTaskRunner": _missing("ProcessRunner on one machine, or an adapter of headway.TaskRunner"),
    "PrefectTaskRunner": _missing("ThreadRunner or ProcessRunner"),
}

_COMMON: Final[Mapping[str, tuple[Status, str, str]]] = {
    "name": ("same", "name", ""),
    "description": ("same", "description", ""),
    "version": ("same", "version", ""),
    "retries": ("same", "retries", ""),
    "log_prints": ("same", "log_prints", ""),
    "retry_delay_seconds": ("same", "retry_delay", ""),
    "timeout_seconds": ("same", "timeout", ""),
    "on_completion": ("differs", "on_completion", "ours takes one StateChange; the shim adapts"),
    "on_failure": ("differs", "on_failure", "ours takes one StateChange; the shim adapts"),
    "on_running": ("differs", "on_running", "ours takes one StateChange; the shim adapts"),
    "cache_result_in_memory": ("differs", "result", "without effect"),
    "persist_result": ("differs", "result", f"without effect: {_ALWAYS_KEPT}"),
    "result_serializer": ("differs", "result", "`json` or `pickle`"),
}


def _options(decorator: str, without: str = "") -> dict[str, Mapped]:
    return {
        name: Mapped(status, f"@{decorator}({ours})", note)
        for name, (status, ours, note) in _COMMON.items()
        if ours != without
    }


FLOW_OPTIONS: Final[Mapping[str, Mapped]] = {
    **_options("flow", without="result"),
    "flow_run_name": _same("@flow(flow_run_name)", "of calls inside another flow"),
    "task_runner": _same("@flow(task_runner)"),
    "on_cancellation": _differs("@flow(on_cancellation)", "ours takes one StateChange"),
    "on_crashed": _differs("@flow(on_crashed)", "ours takes one StateChange"),
    "validate_parameters": _differs("headway.flow", "parameters are always checked"),
    "persist_result": _differs("headway.flow", f"without effect: {_ALWAYS_KEPT}"),
    "cache_result_in_memory": _differs("headway.flow", "without effect"),
    "result_serializer": _missing("results of flows are JSON; choose for each task"),
    "result_storage": _missing(_ALWAYS_KEPT),
}

TASK_OPTIONS: Final[Mapping[str, Mapped]] = {
    **_options("task"),
    "tags": _same("@task(tags)", "shown; they limit nothing"),
    "task_run_name": _same("@task(task_run_name)"),
    "retry_jitter_factor": _same("@task(retry_jitter)"),
    "retry_condition_fn": _differs("@task(retry_on)", "ours takes the task and the error"),
    "cache_policy": _same("@task(cache)"),
    "cache_key_fn": _differs("@task(cache)", "ours takes the arguments alone"),
    "cache_expiration": _same("@task(cache_expires)"),
    "refresh_cache": _same("@task(refresh_cache)"),
    "result_storage": _missing(_ALWAYS_KEPT),
    "result_storage_key": _missing("`@task(cache=function)` names results"),
    "on_rollback": _differs("@task(on_rollback)", f"{_IN_BLOCKS}; {_STEP}"),
    "on_commit": _differs("@task(on_commit)", f"{_IN_BLOCKS}; {_STEP}"),
    "viz_return_value": _missing("no equivalent; leave it out"),
    "asset_deps": _missing("no equivalent; leave it out"),
}

FLOW_METHODS: Final[Mapping[str, Mapped]] = {
    "with_options": _same("headway.Flow.with_options"),
    "serve": _missing("`headway deploy`, and an agent that executes it"),
    "deploy": _missing("`headway deploy`"),
    "to_deployment": _missing("`headway deploy`"),
    "from_source": _missing("`headway deploy --root`"),
    "visualize": _missing("the run's page shows its calls"),
    "generate_mermaid_graph": _missing("the run's page shows its calls"),
    "validate_parameters": _missing("headway.testing checks parameters as a run does"),
    "serialize_parameters": _missing("no equivalent"),
    "on_completion": _missing("give the hook as an option: @flow(on_completion=...)"),
    "on_failure": _missing("give the hook as an option: @flow(on_failure=...)"),
    "on_cancellation": _missing("give the hook as an option: @flow(on_cancellation=...)"),
    "on_crashed": _missing("give the hook as an option: @flow(on_crashed=...)"),
    "on_running": _missing("give the hook as an option: @flow(on_running=...)"),
}

TASK_METHODS: Final[Mapping[str, Mapped]] = {
    "submit": _same("headway.Task.submit"),
    "map": _same("headway.Task.map"),
    "with_options": _same("headway.Task.with_options"),
    "delay": _missing("submit it in a flow, and `headway run` the flow"),
    "apply_async": _missing("submit it in a flow, and `headway run` the flow"),
    "serve": _missing("call it in a flow, and `headway deploy` the flow"),
    "create_run": _missing("submit it in a flow"),
    "on_completion": _missing("give the hook as an option: @task(on_completion=...)"),
    "on_failure": _missing("give the hook as an option: @task(on_failure=...)"),
    "on_rollback": _differs("@task(on_rollback)", f"{_IN_BLOCKS}; {_STEP}"),
    "on_commit": _differs("@task(on_commit)", f"{_IN_BLOCKS}; {_STEP}"),
}

CALL_OPTIONS: Final[Mapping[str, Mapped]] = {
    "wait_for": _differs(
        "headway.Task.submit", "of submit and map; a plain call comes in its turn"
    ),
    "return_state": _missing(_STATES),
}

YAML: Final[Mapping[str, Mapped]] = {
    "name": _missing("a project has no name; leave it out"),
    "prefect-version": _missing("leave it out"),
    "build": _missing("build images in your own pipeline"),
    "push": _missing("push images in your own pipeline"),
    "pull": _missing("the code lies where the agent is: `headway deploy --root`"),
    "definitions": _missing("anchors of YAML; nothing to do"),
    "deployments": _differs("headway deploy", "one command each"),
}

DEPLOYMENT: Final[Mapping[str, Mapped]] = {
    "name": _same("headway deploy --name"),
    "entrypoint": _differs(
        "headway deploy", "`path/file.py:flow` as it is, or `package.module:flow`"
    ),
    "flow_name": _missing("the entry point says it"),
    "tags": _same("headway deploy --tag"),
    "work_pool": _differs("headway deploy --pool", "agents of a pool, without job variables"),
    "parameters": _missing("defaults in the flow's signature"),
    "description": _differs("@flow(description)", "of the flow"),
    "version": _differs("@flow(version)", "of the flow"),
    "version_type": _missing("leave it out"),
    "enforce_parameter_schema": _missing("parameters are always checked; leave it out"),
    "schedule": _missing("no equivalent: have cron call `headway run`"),
    "schedules": _missing("no equivalent: have cron call `headway run`"),
    "paused": _missing("no equivalent"),
    "concurrency_limit": _missing("no equivalent for a deployment; an agent has its slots"),
    "triggers": _missing("no equivalent"),
    "sla": _missing("no equivalent"),
    "build": _missing("build images in your own pipeline"),
    "push": _missing("push images in your own pipeline"),
    "pull": _missing("the code lies where the agent is: `headway deploy --root`"),
}

TABLE: Final[Mapping[Group, Mapping[str, Mapped]]] = {
    "import": IMPORTS,
    "flow option": FLOW_OPTIONS,
    "task option": TASK_OPTIONS,
    "flow method": FLOW_METHODS,
    "task method": TASK_METHODS,
    "call option": CALL_OPTIONS,
    "prefect.yaml": YAML,
    "deployment": DEPLOYMENT,
}

_UNKNOWN: Final = _missing("not a public name of Prefect 3 that is known here")


def is_known(group: Group, name: str) -> bool:
    """Whether the table has it."""
    return name in TABLE[group]


def look_up(group: Group, name: str) -> Mapped:
    """What it is; an unknown name is missing."""
    return TABLE[group].get(name, _UNKNOWN)
