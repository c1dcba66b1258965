"""start.json: everything one attempt needs, written before its supervisor is asked for."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from headway_agent.runner.api import Assignment, AttemptKey
from headway_agent.runner.environments import Environment
from headway_agent.runner.template import PROTOCOL

_FIELDS = frozenset(field.name for field in fields(Assignment))
MARKER = "HEADWAY_ATTEMPT"
"""An environment variable of every flow: by it the agent finds processes that outlived flow and supervisor."""


def marker(key: AttemptKey) -> str:
    return f"{key.run}/{key.fence}"


def to_json(assignment: Assignment) -> dict[str, Any]:
    """As agent.db keeps it."""
    return asdict(assignment) | {"key": list(assignment.key)}


def from_json(kept: Mapping[str, Any]) -> Assignment:
    """What a newer agent wrote may have fields that this one does not know."""
    known = {name: value for name, value in kept.items() if name in _FIELDS}
    return Assignment(**{**known, "key": AttemptKey(*kept["key"])})


def content(
    assignment: Assignment,
    environment: Environment,
    *,
    env: Mapping[str, str],
    journal: list[Path],
    store: Path,
    wake: Path,
    salt: str,
) -> dict[str, Any]:
    run, fence = assignment.key
    return {
        "protocol": PROTOCOL,
        "run": run,
        "fence": fence,
        "run_name": assignment.run_name,
        "flow": assignment.flow,
        "deployment": assignment.deployment,
        "entrypoint": assignment.entrypoint,
        "code_hash": assignment.code_hash,
        "root": environment.root,
        "environment": environment.name,
        "env": {**env, **assignment.env, MARKER: marker(assignment.key)},
        "parameters": assignment.parameters,
        "journal": [str(path) for path in journal],
        "store": str(store),
        "salt": salt,
        "wake": str(wake),
        "cancel_grace_us": assignment.cancel_grace_us,
        "kill_grace_us": assignment.kill_grace_us,
        "traceparent": assignment.traceparent,
        "durable": assignment.durable,
    }


def earlier_journals(run_dir: Path) -> list[Path]:
    """frames.log of the run's earlier attempts on this machine, oldest first."""
    fence = int(run_dir.name)
    found = {
        int(path.parent.name): path
        for path in run_dir.parent.glob("*/frames.log")
        if path.parent.name.isdigit()
    }
    return [found[earlier] for earlier in sorted(found) if earlier < fence]


def write(run_dir: Path, start: Mapping[str, Any]) -> None:
    """Only this user may read it: it holds parameters and environment variables."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    unnamed = run_dir / f"start.json.{os.getpid()}"
    fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(start, file)
    unnamed.replace(run_dir / "start.json")
