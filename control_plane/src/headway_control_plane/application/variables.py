"""Set and unset variables: small JSON values of a workspace that its runs are given. They stand in the control plane in clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headway_control_plane.application.errors import Problem, TooLarge
from headway_control_plane.application.json_values import encode, problems_of
from headway_control_plane.application.ports import Cursor, Log
from headway_control_plane.application.words import require_none, slug_problems, tag_problems
from headway_control_plane.domain.streams import Blob
from headway_control_plane.domain.variables.commands import SetVariable, UnsetVariable

MOST_VALUE = 64 * 1024
"""Bytes of one value as JSON."""


@dataclass(frozen=True, slots=True)
class VariableDone:
    """`changed`: False where it was so already."""

    changed: bool
    cursor: Cursor


async def set_variable(
    log: Log,
    ws: int,
    *,
    actor: str,
    name: str,
    value: Any,
    tags: Sequence[str] = (),
    if_version: int | None = None,
) -> VariableDone:
    """Make a variable, or change it to exactly this. `if_version`: only from this version; 0: only if it is not there."""
    require_none(
        [*slug_problems("name", name), *tag_problems("tags", tags), *problems_of(value, "value")]
    )
    _require_version(if_version)
    content = encode(value)
    if len(content) > MOST_VALUE:
        raise TooLarge(
            f"The value has {len(content):,} bytes as JSON; a variable holds at most {MOST_VALUE:,}.",
            hint="Keep it in your own store, and its address in the variable.",
        )
    sorted_tags = tuple(sorted(set(tags)))
    command = SetVariable(name, Blob.of(content), len(content), sorted_tags, if_version)
    done = await log.execute(ws, command, actor=actor)
    return VariableDone(bool(done.decided), done.cursor)


async def unset_variable(
    log: Log, ws: int, *, actor: str, name: str, if_version: int | None = None
) -> VariableDone:
    """Take a variable away. Its earlier values stay in the log until they are erased."""
    require_none(slug_problems("name", name))
    _require_version(if_version)
    done = await log.execute(ws, UnsetVariable(name, if_version), actor=actor)
    return VariableDone(bool(done.decided), done.cursor)


def _require_version(version: int | None) -> None:
    if version is not None and version < 0:
        require_none([Problem("if_version", "must be 0 (not there yet) or more")])
