"""Runs of deployments with Prefect's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import headway
from headway.futures import running_loop


def run_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    *,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    poll_interval: float | None = 5,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    as_subflow: bool = True,
) -> Any:
    """`headway.run_deployment` with Prefect's arguments, to be awaited in async code; gives a headway.ChildRun.

    Of `flow/deployment` the part behind the slash is the deployment's name. One call starts one run anyway, so
    `idempotency_key` is not needed; nothing is polled. With `as_subflow=False` the run outlives a cancel of this one.
    """
    del poll_interval, idempotency_key
    given: dict[str, Any] = {
        "timeout": timeout,
        "scheduled_time": scheduled_time,
        "run_name": flow_run_name or "",
        "tags": tuple(tags or ()),
        "on_parent_cancelled": "cancel" if as_subflow else "leave",
    }
    deployment = name.rpartition("/")[2]
    if running_loop() is not None:
        return headway.run_deployment_async(deployment, parameters, **given)
    return headway.run_deployment(deployment, parameters, **given)
