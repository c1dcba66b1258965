"""Prefect's Secret and Variable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import headway


class Secret(headway.Secret):
    """`headway.secret`: found on the machine that executes the run, as environments.toml says."""

    __slots__ = ()

    @classmethod
    def load(cls, name: str) -> headway.Secret:
        """The secret of that name. Nothing is looked up before `get()`, which Prefect's has too."""
        return headway.secret(name)


class Variable:
    """`headway.variables`: read and set in flows and tasks."""

    @staticmethod
    def get(name: str, default: Any = None) -> Any:
        """The value, or the default: as in Prefect, None for a variable that is not there."""
        return headway.variables.get(name, default)

    @staticmethod
    def set(
        name: str,
        value: Any,
        tags: list[str] | None = None,
        overwrite: bool = False,  # noqa: FBT001, FBT002 - Prefect's
    ) -> SimpleNamespace:
        """As in Prefect, ValueError for one that is there, unless it may be overwritten. Its name, value and tags."""
        missing = object()
        if not overwrite and headway.variables.get(name, missing) is not missing:
            raise ValueError(
                f"Variable {name!r} already exists. Use `overwrite=True` to update it."
            )
        headway.variables.set(name, value, tags=tags, expected_version=None if overwrite else 0)
        return SimpleNamespace(name=name, value=value, tags=list(tags or ()))

    @staticmethod
    def unset(name: str) -> bool:
        """Whether it was there."""
        missing = object()
        found = headway.variables.get(name, missing) is not missing
        if found:
            headway.variables.delete(name)
        return found
