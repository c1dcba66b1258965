"""Assign, as the runner wants it."""

import json
from typing import Any

from headway_agent.connection.messages import attempt_of
from headway_agent.runner.api import Assignment, AttemptKey
from headway_api.agent.v1 import agent_service_pb2 as wire

DEFAULT_GRACE_MS = 5_000


def assignment_of(assign: wire.Assign) -> Assignment:
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
    )


def _parameters(content: bytes) -> dict[str, Any]:
    """The control plane checks parameters before it takes a run: anything but an object is a broken message."""
    parameters = json.loads(content) if content else {}
    if not isinstance(parameters, dict):
        raise ValueError("Assign.parameters is no JSON object")  # noqa: TRY004 (as every other unreadable message)
    return parameters
