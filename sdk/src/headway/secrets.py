"""Secrets by name: looked up on the machine that executes the run, and taken out of everything that leaves it.

`headway.secret("db-password").get()` gives the value. Where it comes from is the agent's to say (environments.toml); outside
a run it is an environment variable. The control plane knows neither.
"""

from __future__ import annotations

import re
from typing import Protocol, TypeVar

from headway.errors import SecretError

T = TypeVar("T", str, bytes)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ShortSecret(UserWarning):
    """A value is too short to be taken out of output: what it stands in would be wrecked."""


class SecretProvider(Protocol):
    """Where secrets come from, written by whoever runs the agent; named in environments.toml.

    The agent's file names it as `package.module:name`: an object with this method, or a class that is made without
    arguments, once an attempt.
    """

    def get(self, name: str, /) -> str | None:
        """The value; None when there is no such secret. What it raises fails the lookup, and nothing else is tried."""


class Lookup(Protocol):
    """What finds values here: the attempt's, or that of a plain process."""

    def get(self, name: str) -> str:
        """The value. Raises SecretError."""

    def protect(self, name: str, value: str) -> None:
        """From now on the value is taken out of what leaves."""


class Secret:
    """A secret by its name. It shows as `****` wherever it is printed; `get()` gives the value.

    It can be handed to tasks and processes, returned and kept in a result: the name alone is written down, and whoever
    has it looks the value up where it is. As the hint of a parameter it stands for a name in JSON.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        given: object = name
        if not (isinstance(given, str) and NAME.fullmatch(given)):
            raise SecretError(
                f"{name!r} can name no secret: use letters, digits, dot, dash and underscore, at most 100"
            )
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def get(self) -> str:
        """The value, looked up once an attempt: a new attempt of the run sees a value that was changed meanwhile.

        A provider may take its time: in async code use `await asyncio.to_thread(secret.get)`.

        Raises:
            SecretNotFound: it is in none of the places that were looked at, which the message names.
            SecretError: it cannot be read, or this process may not.
        """
        return _lookup().get(self._name)

    def __repr__(self) -> str:
        return "****"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return "****"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._name == self._name

    def __hash__(self) -> int:
        return hash((Secret, self._name))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (self._name,)


Secret.__module__ = "headway"


def secret(name: str) -> Secret:
    """The secret of that name. Nothing is looked up before `get()`.

    Raises SecretError for what can be no name.
    """
    return Secret(name)


def redact(value: T, name: str = "value") -> T:
    """Has a value taken out of the run's output, errors and names from now on, as a secret's is; gives it back.

    For what is derived from a secret (a token, a connection string) or comes from elsewhere. `[redacted:name]` stands in
    its place. Outside a run nothing is recorded, so nothing happens.
    """
    _lookup().protect(Secret(name).name, _as_text(value))
    return value


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


_installed: Lookup | None = None


def install(lookup: Lookup | None) -> None:
    """Declares where this process finds secrets; None: as outside a run."""
    global _installed
    _installed = lookup


def _lookup() -> Lookup:
    if _installed is not None:
        return _installed
    from headway.runtime.secret_sources import PlainLookup  # noqa: PLC0415 - who has no secrets never loads it

    return PlainLookup()
