"""`environments.toml`, which tells this machine's agent in which Python and under which root to execute.

The agent reads it at each start of an attempt; whoever writes takes the lock beside it and renames a whole file into place.
"""

import fcntl
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from headway.cli.errors import CommandError
from headway.cli.exits import Exit


@dataclass(frozen=True, slots=True)
class Environment:
    """Paths are absolute; `env_file` and `project` are empty when there is none."""

    python: str
    root: str
    env_file: str = ""
    project: str = ""


def record(path: Path, name: str, environment: Environment, *, replace: bool) -> bool:
    """Write the entry; False when it stood there already.

    Another meaning of the name is not overwritten unasked: the deployments that use it would run something else.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = _read(path)
        entries: dict[str, Any] = content.setdefault("environments", {})
        known = entries.get(name)
        ours = asdict(environment)
        kept = (
            known if isinstance(known, dict) else {}
        )  # what operators add, such as where secrets are, stays
        for field in ("env_file", "project"):
            if not ours[field] and not replace:
                # Not named is not taken away: the second deployment of an environment need not repeat it.
                ours[field] = kept.get(field, "")
        if not ours["project"] and "project" not in kept:
            del ours["project"]
        if {**kept, **ours} == known:
            return False
        if known is not None and not replace:
            raise CommandError(
                f"The environment {name!r} stands for {_told(known)} on this machine, and not for {_told(ours)}.",
                hint="Give this one a name of its own: --environment NAME; or change that one: --replace-environment",
                code=Exit.REFUSED,
            )
        entries[name] = {**kept, **ours}
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(tomli_w.dumps(content), encoding="utf-8")
        fresh.replace(path)
    return True


def _told(entry: Mapping[str, Any]) -> str:
    """An entry in words."""
    beside = f", with {entry['env_file']}" if entry.get("env_file") else ", without an env file"
    named = f", project {entry['project']}" if entry.get("project") else ""
    return f"{entry.get('python')} in {entry.get('root')}{beside}{named}"


def project_of(path: Path, name: str) -> str:
    """Of the environment of this name, if there is one and its project has a name. Raises CommandError."""
    entry = _read(path).get("environments", {}).get(name)
    return str(entry.get("project", "")) if isinstance(entry, dict) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{path} cannot be read: {error}.", hint="Repair it, or move it away and deploy again."
        ) from error
    if not isinstance(content.get("environments", {}), dict):
        raise CommandError(
            f"{path}: `environments` must be a table.",
            hint="Repair it, or move it away and deploy again.",
        )
    return content
