"""Where an environment's flows find their secrets, as environments.toml says it. Values pass through here only in variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREFIX = "HEADWAY_SECRET_"
"""The SDK looks a secret `db-password` up in HEADWAY_SECRET_DB_PASSWORD."""
KEYS = ("secrets", "secrets_dir", "secrets_env")

_PROVIDER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class SecretSources:
    """The places beside the variables with our prefix. `variables`: name of a secret -> variable that holds it."""

    provider: str = ""
    directory: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


def parse(entry: Mapping[str, Any]) -> SecretSources:
    """Of one environment's table. Raises ValueError, which says what is wrong with which key."""
    provider, directory, variables = (entry.get(key) for key in KEYS)
    if provider and not (isinstance(provider, str) and _PROVIDER.fullmatch(provider)):
        raise ValueError('secrets must be "package.module:provider"')
    if directory and not (isinstance(directory, str) and Path(directory).is_absolute()):
        raise ValueError("secrets_dir must be an absolute path")
    if variables and not (isinstance(variables, Mapping) and all(map(_is_pair, variables.items()))):
        raise ValueError("secrets_env must be a table from names of secrets to names of variables")
    return SecretSources(provider or "", directory or "", dict(variables or {}))


def entry(sources: SecretSources) -> dict[str, Any]:
    """The keys of environments.toml; none for what is not there."""
    values = (sources.provider, sources.directory, dict(sources.variables))
    return {key: value for key, value in zip(KEYS, values, strict=True) if value}


def for_start(sources: SecretSources, kept: Mapping[str, str]) -> dict[str, Any]:
    """`secrets` of start.json: places, and the variables that hold secrets. No value."""
    return {
        "provider": sources.provider,
        "directory": sources.directory,
        "variables": dict(sources.variables),
        "kept": dict(kept),
    }


def variables_in(env: Mapping[str, str], sources: SecretSources) -> dict[str, str]:
    """Which of these variables hold secrets, and what the secrets are called."""
    named = {variable: name for name, variable in sources.variables.items()}
    prefixed = {
        variable: variable.removeprefix(PREFIX).lower().replace("_", "-")
        for variable in env
        if variable.startswith(PREFIX)
    }
    return {variable: name for variable, name in {**prefixed, **named}.items() if variable in env}


def _is_pair(pair: tuple[object, object]) -> bool:
    name, variable = pair
    is_name = isinstance(name, str) and _NAME.fullmatch(name) is not None
    return is_name and isinstance(variable, str) and variable != ""
