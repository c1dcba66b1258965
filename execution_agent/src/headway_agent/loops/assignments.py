"""Assign, as the runner wants it."""

import json
from typing import Any

from headway_agent.connection.messages import attempt_of, run_of
from headway_agent.connection.permits import NOTHING, Permits
from headway_agent.runner.api import Ancestor, Answer, AskedRun, Assignment, AttemptKey
from headway_api.agent.v1 import agent_service_pb2 as wire
from headway_api.common.v1 import data_class_pb2 as classes

DEFAULT_GRACE_MS = 5_000
MAX_RUNS_PER_PROCESS = 1_000
MAX_MEMORY_MB = 1_024


# Without its name nobody knows which variable is meant, without its value nobody can set it.
_OF_VARIABLES = {classes.DATA_CLASS_NAME, classes.DATA_CLASS_PARAMETERS}


def assignment_of(assign: wire.Assign, permits: Permits = NOTHING) -> Assignment:
    return Assignment(
        key=AttemptKey(*attempt_of(assign.attempt)),
        run_name=assign.run_name,
        flow=assign.flow,
        deployment=assign.deployment,
        environment=assign.environment,
        entrypoint=assign.entrypoint,
        code_hash=assign.code_hash,
        parameters=_parameters(assign.parameters),
        traceparent=assign.traceparent,
        cancel_grace_us=(assign.cancel_grace_ms or DEFAULT_GRACE_MS) * 1_000,
        kill_grace_us=(assign.kill_grace_ms or DEFAULT_GRACE_MS) * 1_000,
        answers=tuple(map(answer_of, assign.answers)),
        lineage=tuple(map(_ancestor, assign.lineage)),
        at_home=assign.at_home,
        asked_runs=tuple(map(_asked_run, assign.asked_runs)),
        asked_runs_cut=assign.asked_runs_cut,
        unheard=assign.unheard,
        isolation="reuse" if assign.isolation == "reuse" else "process",
        max_runs_per_process=assign.max_runs_per_process or MAX_RUNS_PER_PROCESS,
        max_memory_mb=assign.max_memory_mb or MAX_MEMORY_MB,
        tags=tuple(assign.tags),
        due_at_us=assign.due_at_us,
        run_url=assign.run_url,
        flow_version=assign.flow_version,
        started_by=assign.started_by,
        sets_variables=permits >= _OF_VARIABLES,
    )


def answer_of(answer: wire.Answer) -> Answer:
    value = json.loads(answer.value) if answer.value else None
    return Answer(answer.call.hex(), answer.over, value)


def _asked_run(asked: wire.AskedRun) -> AskedRun:
    return AskedRun(asked.call.hex(), run_of(asked.run), asked.wish.hex())


def _ancestor(ancestor: wire.Ancestor) -> Ancestor:
    return Ancestor(
        run=run_of(ancestor.run),
        call=ancestor.call.hex(),
        around=tuple(call.hex() for call in ancestor.around),
        cut_at_us=ancestor.cut_at_us,
    )


def _parameters(content: bytes) -> dict[str, Any]:
    """The control plane checks parameters before it takes a run: anything but an object is a broken message."""
    try:
        parameters = json.loads(content) if content else {}
    except RecursionError:
        raise ValueError("Assign.parameters is nested too deeply") from None
    if not isinstance(parameters, dict):
        raise ValueError("Assign.parameters is no JSON object")  # noqa: TRY004 (as every other unreadable message)
    return parameters
