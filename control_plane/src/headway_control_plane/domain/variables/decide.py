"""Setting and unsetting variables: what is as wished already changes nothing, and a version that was read may be insisted on.

Any run of a pool that lets names and values leave may write any variable of its workspace, as it may start any of its deployments: the
border between tenants is the workspace. What people want to keep from flows, they tag.
"""

from __future__ import annotations

from headway_control_plane.domain.errors import Conflict, InvalidArgument, NotFound, Refused
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Decided
from headway_control_plane.domain.variables.commands import (
    SetVariable,
    UnsetVariable,
    WriteVariable,
)
from headway_control_plane.domain.variables.events import (
    VariableRefused,
    VariableSet,
    VariableUnset,
)
from headway_control_plane.domain.variables.state import STREAM, Variable, VariablesState

PROTECTED = "protected"
"""A variable with this tag is written by people and the API alone."""
MOST_VARIABLES = 1_000
MOST_BYTES = 1 << 20
"""Names and values of one workspace together: every run is given them."""


def set_variable(command: SetVariable, states: States) -> list[Decided]:
    before = states.variables() or VariablesState(0, {})
    known = before.entries.get(command.name)
    if known is not None and (known.value, known.tags) == (command.value, command.tags):
        return []
    _require_version(command.name, known, command.if_version)
    if known is None and len(before.entries) >= MOST_VARIABLES:
        raise InvalidArgument(
            f"A workspace has at most {MOST_VARIABLES:,} variables. Unset some, or keep several values in one."
        )
    room = MOST_BYTES - before.size_bytes + (_size(command.name, known) if known else 0)
    size = len(command.name) + command.size_bytes
    if size > room:
        raise InvalidArgument(
            f"All variables of a workspace together hold at most 1 MiB, and there is room for {max(room, 0):,} bytes;"
            f" this one has {size:,}. Keep large values in your own store, and their address here.",
            room=max(room, 0),
        )
    event = VariableSet(command.name, command.value, command.size_bytes, command.tags)
    return [Decided(STREAM, event)]


def unset_variable(command: UnsetVariable, states: States) -> list[Decided]:
    before = states.variables()
    known = before.entries.get(command.name) if before is not None else None
    if known is None:
        raise NotFound(
            f"There is no variable {command.name!r} in this workspace. `headway variables ls` lists them."
        )
    _require_version(command.name, known, command.if_version)
    return [Decided(STREAM, VariableUnset(command.name))]


def write_variable(command: WriteVariable, states: States) -> list[Decided]:
    """What a run has written. Nobody waits for the answer: a refusal is told in the variables' history."""
    try:
        return _written(command, states)
    except Refused as refusal:
        return [Decided(STREAM, VariableRefused(command.name, str(refusal)))]


def _written(command: WriteVariable, states: States) -> list[Decided]:
    before = states.variables()
    known = before.entries.get(command.name) if before is not None else None
    name, version = command.name, command.expected_version
    if command.problem:
        raise InvalidArgument(command.problem)
    if known is not None and PROTECTED in known.tags:
        raise InvalidArgument(
            f"It has the tag {PROTECTED!r}: no run changes it. Take the tag away, or set it yourself."
        )
    if command.value is not None:
        kept = known.tags if known is not None else ()
        tags = kept if command.tags is None else command.tags
        return set_variable(
            SetVariable(name, command.value, command.size_bytes, tags, version), states
        )
    if known is None and not version:
        return []
    return unset_variable(UnsetVariable(name, version), states)


def _require_version(name: str, known: Variable | None, wanted: int | None) -> None:
    version = known.version if known is not None else 0
    if wanted is not None and wanted != version:
        there = f"has version {version}" if known is not None else "is not there"
        raise Conflict(
            f"The variable {name!r} {there}, not version {wanted}. Read it again (`headway variables get {name} --output json`), and decide again.",
            version=version,
        )


def _size(name: str, entry: Variable) -> int:
    return len(name) + entry.size_bytes
