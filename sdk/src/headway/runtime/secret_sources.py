"""Where secrets are looked up, in this order: variables of the environment, a directory with a file for each, a provider."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from headway.errors import SecretError, SecretNotFound

PREFIX = "HEADWAY_SECRET_"
"""`db-password` is the variable HEADWAY_SECRET_DB_PASSWORD."""
IN_RUN = "HEADWAY_ATTEMPT"
"""Stands in the environment of every process of a run."""
MOST_BYTES = 64 * 1024

_NO_WORD = re.compile(r"[^A-Za-z0-9]")


class Source(NamedTuple):
    """One place: how an error names it for this secret, and its value there or None."""

    place: Callable[[str], str]
    find: Callable[[str], str | None]


def variable_of(name: str, mapping: Mapping[str, str]) -> str:
    """The environment variable that holds a secret."""
    return mapping.get(name) or PREFIX + _NO_WORD.sub("_", name).upper()


def sources_of(configured: Mapping[str, Any], environ: Mapping[str, str]) -> list[Source]:
    """The places that the agent has configured: `variables` (name -> variable), `directory`, `provider`."""
    mapping = configured.get("variables") or {}
    found = [
        Source(
            lambda name: f"the environment variable {variable_of(name, mapping)}",
            lambda name: environ.get(variable_of(name, mapping)) or None,
        )
    ]
    if directory := configured.get("directory"):
        found.append(
            Source(
                lambda name: f"the file {Path(directory) / name}",
                lambda name: read_file(Path(directory) / name),
            )
        )
    if provider := configured.get("provider"):
        found.append(Source(lambda _: f"the provider {provider}", _Provider(provider)))
    return found


def find(sources: Iterable[Source], name: str, advice: str) -> str:
    """The value at the first place that has it. Raises SecretNotFound, which names all places."""
    places = []
    for source in sources:
        value = source.find(name)
        if value:
            return value
        places.append(source.place(name))
    raise SecretNotFound(name, places, advice)


def read_file(path: Path) -> str | None:
    """A secret's file without its last line end; None if there is none. Raises SecretError for one that others could have
    written, or that lies open although it is ours to close.
    """
    try:
        with path.open("rb") as file:
            _check(path, os.fstat(file.fileno()))
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretError(f"the secret's file {path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise SecretError(f"the secret's file {path} is larger than 64 KiB: is it one?")
    for end in (b"\r\n", b"\n"):
        if content.endswith(end):
            content = content.removesuffix(end)
            break
    return content.decode("utf-8", "surrogateescape")


def _check(path: Path, status: os.stat_result) -> None:
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        raise SecretError(f"{path} is no file: put a file with the secret's value there")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SecretError(
            f"others may write to the secret's file {path}, so it is not used: chmod go-w {path}"
        )
    # Platforms mount secrets that belong to root and that everybody in the container may read: those are theirs to close.
    ours = status.st_uid == os.geteuid() != 0
    if ours and mode & stat.S_IROTH:
        raise SecretError(
            f"everybody may read the secret's file {path}, so it is not used: chmod 600 {path}"
        )


class _Provider:
    """Made when it is needed, and once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made: Any = None

    def __call__(self, name: str) -> str | None:
        if self._made is None:
            self._made = self._make()
        try:
            value = self._made.get(name)
        except Exception as error:
            # The user's code; what it says may hold what it has read.
            raise SecretError(
                f"the provider {self._path} failed for {name!r}: {type(error).__name__}"
            ) from error
        if value is not None and not isinstance(value, str):
            raise SecretError(
                f"the provider {self._path} gave {type(value).__name__} for {name!r}: it must give str or None"
            )
        return value

    def _make(self) -> Any:
        module, _, name = self._path.partition(":")
        try:
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            made = found() if isinstance(found, type) else found
        except Exception as error:
            raise SecretError(
                f"the provider {self._path} of environments.toml cannot be loaded in {sys.executable}: {error!r}"
            ) from error
        if not callable(getattr(made, "get", None)):
            raise SecretError(
                f"the provider {self._path} of environments.toml has no method get(name)"
            )
        return made


class PlainLookup:
    """Outside a run, and in processes that a flow has started itself: variables of the environment alone."""

    def get(self, name: str) -> str:
        environ = os.environ  # noqa: TID251 - the caller's environment is where secrets are
        advice = f"Set {variable_of(name, {})}, or run the flow by an agent."
        if IN_RUN in environ:
            advice = (
                "This process was started by the flow: get the value in the flow and hand it over."
            )
        return find(sources_of({}, environ), name, advice)

    def protect(self, name: str, value: str) -> None:
        """Nothing is recorded here."""
