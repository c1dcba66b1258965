"""`environments.toml`: in which Python and under which root the flows of this machine run.

`headway deploy` writes it under the user's interpreter, the agent reads it at each start of an attempt::

    [environments.analytics]
    python = "/srv/venvs/analytics/bin/python"  # the interpreter, absolute
    root = "/srv/flows"  # put first on sys.path, and the working directory; absolute
    env_file = ""  # KEY=VALUE lines for the flow's environment, or empty
    project = "billing"  # the code's name wherever it is executed, for the cache that agents share; may be missing
    secrets_env = { db-password = "PGPASSWORD" }  # where secrets are, in this order: variables of other names than ours,
    secrets_dir = "/run/secrets"  # a directory with one file a secret,
    secrets = "package.module:provider"  # code of yours; all three may be missing

Whoever changes it holds an exclusive `flock` on `environments.lock` beside it, writes a whole new file and renames it into
place (see `update`), so that no change is lost and a reader never sees half a file.
"""

import fcntl
import functools
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headway_agent.runner import secrets
from headway_agent.runner.secrets import SecretSources

FILE_NAME = "environments.toml"
_ENTRYPOINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Refused(Exception):
    """This agent won't start the attempt. `cause` is what its one fact says, the message what to do."""

    cause = "environment refused"


class EnvironmentRefused(Refused):
    """The environment is unknown or can't run anything."""


class EntrypointRefused(Refused):
    """The code lies outside of what this agent may execute, or its name is none."""

    cause = "entry point refused"


@dataclass(frozen=True, slots=True)
class Environment:
    """One entry of the file."""

    name: str
    python: str
    root: str
    env_file: str = ""
    secrets: SecretSources = field(default_factory=SecretSources)
    project: str = ""


def read(path: Path) -> dict[str, Environment]:
    """All entries; none when there is no file. EnvironmentRefused when it can't be understood."""
    try:
        return dict(_entries(path, path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EnvironmentRefused(
            f"Can't read {path}: {error}. Repair it or run `headway deploy` again."
        ) from error


@functools.lru_cache(maxsize=4)
def _entries(path: Path, content: bytes) -> Mapping[str, Environment]:
    """Remembered by content: each attempt asks, and parsing takes longer than all else that is looked at for it."""
    entries = tomllib.loads(content.decode()).get("environments", {})
    if not isinstance(entries, dict):
        raise EnvironmentRefused(f"{path}: `environments` must be a table of tables.")
    return {name: _entry(path, name, entry) for name, entry in entries.items()}


def find(path: Path, name: str, entrypoint: str, roots: Sequence[Path]) -> Environment:
    """The environment of an attempt, after checking that this agent may and can execute there."""
    if not _ENTRYPOINT.fullmatch(entrypoint):
        raise EntrypointRefused(
            f"Entry point {entrypoint!r} is not of the form package.module:name. Deploy the flow again."
        )
    environment = read(path).get(name)
    if environment is None:
        raise EnvironmentRefused(
            f"No environment {name!r} in {path}. Run `headway deploy` on this machine."
        )
    root = Path(environment.root)
    if not root.is_dir():
        raise EntrypointRefused(
            f"The root {root} of environment {name!r} is no directory. Put the code there or deploy again."
        )
    if not _is_below(root, roots):
        allowed = ", ".join(map(str, roots)) or "none"
        raise EntrypointRefused(
            f"The root {root} of environment {name!r} is not below what this agent may execute ({allowed}). "
            "Start the agent with --root for it."
        )
    if not os.access(environment.python, os.X_OK):
        raise EnvironmentRefused(
            f"{environment.python} of environment {name!r} can't be executed. Run `headway deploy` again."
        )
    return environment


def read_env_file(path: str) -> dict[str, str]:
    """KEY=VALUE lines; empty ones and those that begin with # are left out, quotes around a value are taken off."""
    if not path:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentRefused(f"Can't read the env file {path}: {error}.") from error
    found = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.removeprefix("export ").partition("=")
        if not separator:
            raise EnvironmentRefused(f"Line {number} of the env file {path} is not KEY=VALUE.")
        found[key.strip()] = _unquoted(value.strip())
    return found


def update(path: Path, environment: Environment) -> None:
    """Adds or replaces one entry. Safe against readers and other writers at the same moment."""
    if not _NAME.fullmatch(environment.name):
        raise EnvironmentRefused(
            f"{environment.name!r} can't name an environment: use letters, digits, dot, dash."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = read(path) | {environment.name: environment}
        unnamed = path.with_suffix(f".{os.getpid()}")
        unnamed.write_text("".join(_text(entries)), encoding="utf-8")
        unnamed.replace(path)


def _entry(path: Path, name: str, entry: object) -> Environment:
    fields = entry if isinstance(entry, Mapping) else {}
    values = {key: fields.get(key, "") for key in ("python", "root", "env_file")}
    for key in ("python", "root"):
        value = values[key]
        if not isinstance(value, str) or not Path(value).is_absolute():
            raise EnvironmentRefused(
                f"{path}: {key} of environment {name!r} must be an absolute path."
            )
    if not isinstance(values["env_file"], str):
        raise EnvironmentRefused(
            f"{path}: env_file of environment {name!r} must be a path or empty."
        )
    project = fields.get("project", "")
    if not isinstance(project, str) or (project and not _NAME.fullmatch(project)):
        raise EnvironmentRefused(
            f"{path}: project of environment {name!r} must be a name: letters, digits, dot, dash."
        )
    try:
        sources = secrets.parse(fields)
    except ValueError as error:
        raise EnvironmentRefused(f"{path}: {error}, in environment {name!r}.") from None
    return Environment(name, **values, secrets=sources, project=project)


def _text(entries: Mapping[str, Environment]) -> list[str]:
    return [
        f'[environments."{entry.name}"]\npython = {_quoted(entry.python)}\nroot = {_quoted(entry.root)}\n'
        f"env_file = {_quoted(entry.env_file)}\n{_project_text(entry)}{_secrets_text(entry.secrets)}\n"
        for entry in entries.values()
    ]


def _project_text(entry: Environment) -> str:
    return f"project = {_quoted(entry.project)}\n" if entry.project else ""


def _secrets_text(sources: SecretSources) -> str:
    lines = []
    for key, value in secrets.entry(sources).items():
        if isinstance(value, str):
            lines.append(f"{key} = {_quoted(value)}\n")
        else:
            pairs = ", ".join(f"{_quoted(k)} = {_quoted(v)}" for k, v in value.items())
            lines.append(f"{key} = {{ {pairs} }}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    # JSON's string escapes are a part of TOML's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _is_below(path: Path, roots: Sequence[Path]) -> bool:
    if path in roots:
        return True  # most are: no need to follow links, part by part, for each attempt
    real = path.resolve()
    return any(real.is_relative_to(root.resolve()) for root in roots)
