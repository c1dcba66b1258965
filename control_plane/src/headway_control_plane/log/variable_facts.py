"""What a run has written into a variable, checked and brought into the one form that the API gives it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.json_values import encode, problems_of, read_foreign
from headway_control_plane.application.variables import MOST_VALUE
from headway_control_plane.application.words import slug_problems, tag_problems
from headway_control_plane.domain.streams import Blob
from headway_control_plane.domain.variables.commands import WriteVariable

_WITHHELD = (
    "Its value was withheld: the permits of the pool lack `parameters`, so nothing was changed."
)


def write_of(
    run: UUID, written: attempt_pb2.VariableWritten, contents: Mapping[bytes, bytes]
) -> WriteVariable | None:
    """None where the name was withheld, or is none: nobody could say which variable is meant."""
    name = written.name
    if any(slug_problems("name", name)):
        return None
    tags = tuple(sorted(set(written.tags))) if written.with_tags else None
    version = written.expected_version if written.HasField("expected_version") else None
    if written.deleted:
        return WriteVariable(run, name, None, expected_version=version)
    try:
        content = _encoded(contents.get(written.value_digest))
    except ValueError as error:
        return WriteVariable(run, name, None, problem=str(error))
    problem = next((f"{p.path} {p.message}." for p in tag_problems("tags", tags or ())), "")
    return WriteVariable(run, name, Blob.of(content), len(content), tags, version, problem)


def _encoded(content: bytes | None) -> bytes:
    if content is None:
        raise ValueError(_WITHHELD)
    value = read_foreign(content)
    problem = next(problems_of(value, "value"), None)
    if problem is not None:
        raise ValueError(f"{problem.path} {problem.message}.")
    encoded = encode(value)
    if len(encoded) > MOST_VALUE:
        raise ValueError(
            f"The value has {len(encoded):,} bytes as JSON; a variable holds at most {MOST_VALUE:,}."
        )
    return encoded
