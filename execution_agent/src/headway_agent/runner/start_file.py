"""start.json: everything one attempt needs, written before its supervisor is asked for."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from headway_agent.runner import secrets
from headway_agent.runner.api import Ancestor, Answer, AskedRun, Assignment, AttemptKey
from headway_agent.runner.environments import Environment, Refused
from headway_agent.runner.template import PROTOCOL_MIN
from headway_agent.spool.frames import protocol_of

_FIELDS = frozenset(field.name for field in fields(Assignment))
MARKER = "HEADWAY_ATTEMPT"
"""An environment variable of every flow: by it the agent finds processes that outlived flow and supervisor."""


def marker(key: AttemptKey) -> str:
    return f"{key.run}/{key.fence}"


def to_json(assignment: Assignment) -> dict[str, Any]:
    """As agent.db keeps it. What is JSON already is not copied, value by value, for the moment until it is written."""
    return {name: getattr(assignment, name) for name in _FIELDS} | {
        "key": list(assignment.key),
        "answers": tuple(map(asdict, assignment.answers)),
        "lineage": tuple(map(asdict, assignment.lineage)),
        "asked_runs": tuple(map(asdict, assignment.asked_runs)),
    }


def from_json(kept: Mapping[str, Any]) -> Assignment:
    """What a newer agent wrote may have fields that this one does not know."""
    known = {name: value for name, value in kept.items() if name in _FIELDS}
    answers = tuple(Answer(**answer) for answer in kept.get("answers", ()))
    lineage = tuple(
        Ancestor(**{**ancestor, "around": tuple(ancestor["around"])})
        for ancestor in kept.get("lineage", ())
    )
    asked = tuple(AskedRun(**each) for each in kept.get("asked_runs", ()))
    parts = {
        "key": AttemptKey(*kept["key"]),
        "answers": answers,
        "lineage": lineage,
        "tags": tuple(kept.get("tags", ())),
        "asked_runs": asked,
    }
    return Assignment(**{**known, **parts})


class Journal(NamedTuple):
    """The logs of earlier attempts, oldest first, and what of them is cut: each cut says for how many of the logs it holds."""

    logs: list[Path]
    cuts: list[dict[str, Any]]

    @property
    def protocol(self) -> int:
        """What an SDK must speak to understand all of it. One that is too old refuses the start, instead of executing
        again what it cannot read.
        """
        return max([PROTOCOL_MIN, *map(protocol_of, self.logs)])


class JournalMissing(Refused):
    """The run goes on with what it did before, and that is not there."""

    cause = "journal missing"


def content(
    assignment: Assignment,
    environment: Environment,
    *,
    env: Mapping[str, str],
    journal: Journal,
    store: Path,
    wake: Path,
    result_max: int,
    salt: str,
    idle_us: int,
    has_store: bool = False,
    shared_cache: Path | None = None,
    secret_variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """`secret_variables`: those of `env` that hold secrets, with the secrets' names. They come from the template's
    environment, and their values are not written down.
    """
    run, fence = assignment.key
    kept = secret_variables or {}
    env = {name: value for name, value in env.items() if name not in kept}
    return {
        "protocol": journal.protocol,
        "ranges": True,
        "run": run,
        "fence": fence,
        **_told(assignment),
        "root": environment.root,
        "environment": environment.name,
        "project": environment.project,
        "env": {**env, **assignment.env, MARKER: marker(assignment.key)},
        "parameters": assignment.parameters,
        "journal": [str(path) for path in journal.logs],
        "cuts": list(journal.cuts),
        "answers": [asdict(answer) for answer in assignment.answers],
        "asked_runs": [asdict(asked) for asked in assignment.asked_runs],
        "asked_runs_cut": assignment.asked_runs_cut,
        "unheard": assignment.unheard,
        "store": str(store),
        "knows": ["runs", "pauses", *(["results"] if has_store else [])],
        "salt": salt,
        "secrets": secrets.for_start(environment.secrets, kept),
        "wake": str(wake),
        "result_max": result_max,
        **({"shared_cache": str(shared_cache)} if shared_cache else {}),
        "cancel_grace_us": assignment.cancel_grace_us,
        "kill_grace_us": assignment.kill_grace_us,
        "traceparent": assignment.traceparent,
        "durable": assignment.durable,
        "isolation": assignment.isolation,
        "max_runs_per_process": assignment.max_runs_per_process,
        "max_memory_mb": assignment.max_memory_mb,
        "idle_us": idle_us,
    }


def _told(assignment: Assignment) -> dict[str, Any]:
    """What names the run and its code."""
    return {
        "run_name": assignment.run_name,
        "flow": assignment.flow,
        "deployment": assignment.deployment,
        "entrypoint": assignment.entrypoint,
        "code_hash": assignment.code_hash,
        "tags": list(assignment.tags),
        "due_at_us": assignment.due_at_us,
        "run_url": assignment.run_url,
        "flow_version": assignment.flow_version,
        "started_by": assignment.started_by,
        "variables": "settable" if assignment.sets_variables else "withheld",
    }


def journal_of(assignment: Assignment, runs: Path) -> Journal:
    """What the attempt can skip: its own run's earlier attempts on this machine, behind those of the runs it was made from.

    Raises JournalMissing where the control plane counts on it.
    """
    logs: list[Path] = []
    cuts: list[dict[str, Any]] = []
    for ancestor in assignment.lineage:
        logs += _logs(runs / ancestor.run)
        cuts.append(
            {
                "logs": len(logs),
                "call": ancestor.call,
                "around": list(ancestor.around),
                "at_us": ancestor.cut_at_us,
            }
        )
    if assignment.at_home and assignment.lineage and not logs:
        raise JournalMissing(_missing(assignment.lineage[-1].run))
    run, fence = assignment.key
    if fence > 1:
        logs += _logs(runs / run, before=fence)
    if assignment.at_home and not logs:
        raise JournalMissing(_missing(run))
    return Journal(logs, cuts)


def _logs(run_dir: Path, before: int | None = None) -> list[Path]:
    found = {
        int(path.parent.name): path
        for path in run_dir.glob("*/frames.log")
        if path.parent.name.isdigit()
    }
    return [found[fence] for fence in sorted(found) if before is None or fence < before]


def _missing(run: str) -> str:
    return (
        f"The journal of run {run} is no longer on this agent, so nothing of it could be skipped. "
        "Start a new run with the same parameters instead."
    )


def write(run_dir: Path, start: Mapping[str, Any]) -> None:
    """Only this user may read it: it holds parameters and environment variables."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    unnamed = run_dir / f"start.json.{os.getpid()}"
    fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(start, file)
    unnamed.replace(run_dir / "start.json")
