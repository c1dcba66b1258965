"""Flows that set variables: one that waits at a gate after it, and one that tells who started it."""

import time
from pathlib import Path

from headway import flow, run_context, run_deployment, variables


@flow
def told() -> list[object]:
    return [run_context().parent_run, variables.get("count")]


@flow
def writes(gate: str) -> list[object]:
    before = variables.get("count", 0)
    variables.set("count", before + 1, tags=["seen"])
    variables.set("kept", "never")
    while not Path(gate).exists():
        time.sleep(0.02)
    child = run_deployment("told").result()
    return [variables.get("count"), child, run_context().run, run_context().started_by]
