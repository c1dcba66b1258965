"""Every type of event in every schema version ever released, as bytes, decodes to this day.

A new type or version without a golden file fails here. Write the missing ones with

    python tests/contract/log/test_golden_events.py

Files that are there are never rewritten: they are what the log of somebody holds.
"""

import dataclasses
import enum
import hashlib
import json
import types
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from google.protobuf.descriptor import FieldDescriptor as F

from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.codec import EVENT_TYPES, FACT_TYPES, encode
from headway_control_plane.log.upcast import UPCASTERS, decode_any

GOLDEN = Path(__file__).parent / "golden"
MANIFEST = GOLDEN / "manifest.json"
# What was added to types that were released before. Each has one more golden file, with these fields filled.
ADDED = {
    "RunCreated": ("home", "forked_from", "verb", "from_call", "around", "cut_at"),
    "AttemptExited": ("waits",),
    "SessionOpened": ("incarnation",),
    "CallStarted": ("run_name_digest",),
    "CallRetrying": ("run_name_digest",),
    "CallEnded": ("cause",),
    "RunSuspended": ("waits.run",),
    "DeploymentDeployed": ("isolation", "max_runs_per_process", "max_memory_mb"),
}
# What was added after that: by its name, which the golden file has, too.
ADDED_LATER = {
    "RunCreated": {
        "isolation": ("isolation", "max_runs_per_process", "max_memory_mb"),
        "parent": ("parent_run", "parent_call"),
        "version": ("flow_version",),
    },
    "DeploymentDeployed": {"version": ("flow_version",)},
    "AttemptExited": {"run": ("waits", "waits.run")},  # `waits.run`: a field of a part
    "CallEnded": {"named": ("run_name_digest",)},
}
# How many values an enum had when its golden files were written.
RELEASED_VALUES = {"AttemptOutcome": 5, "CallKind": 2}
WHEN = datetime(2026, 11, 22, 12, 30, 0, 123456, tzinfo=UTC)


def seed(*words: str) -> bytes:
    return hashlib.sha256("/".join(words).encode()).digest()


def sample_value(hint, *words: str, without=()):
    """A value that tells its field from every other one."""
    digest = seed(*words)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if item is not str:
            return tuple(sample_value(item, *words, str(n), without=without) for n in range(2))
        return tuple(sorted(f"{words[-1]} {n}" for n in range(2)))
    if isinstance(hint, types.UnionType):
        return sample_value(typing.get_args(hint)[0], *words)
    if hint is datetime:
        return WHEN + timedelta(microseconds=digest[0])
    if hint is UUID:
        return UUID(bytes=digest[:16])
    if hint is Blob:
        return Blob(digest)
    if dataclasses.is_dataclass(hint):
        return sample_event(hint, *words, without=without)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)[digest[0] % len(hint)]
    return {
        int: int.from_bytes(digest[:3]),
        bool: True,
        bytes: digest,
        str: f"{words[-1]} \u00e9",
    }[hint]


def sample_event(event: type, *words: str, without=()):
    hints = typing.get_type_hints(event)
    return event(
        **{
            f.name: sample_value(
                hints[f.name], *words, event.__name__, f.name, without=inside(without, f.name)
            )
            for f in dataclasses.fields(event)
            if f.name not in without
        }
    )


def sample_message(message, *words: str, without=()):
    for field in message.DESCRIPTOR.fields:
        path = (*words, field.name)
        if field.name in without:
            continue
        if field.is_repeated and field.type != F.TYPE_MESSAGE:
            values: list[int] | list[str] = [
                int.from_bytes(seed(*path, str(n))[:3]) for n in range(3)
            ]
            if field.type == F.TYPE_STRING:
                values = [f"{field.name} {n} \u00e9" for n in range(3)]
            getattr(message, field.name).extend(values)
        elif field.is_repeated:
            part = getattr(message, field.name).add()
            sample_message(part, *path, without=inside(without, field.name))
        elif field.type == F.TYPE_MESSAGE:
            sample_message(getattr(message, field.name), *path)
        elif field.type == F.TYPE_ENUM:
            numbers = [value.number for value in field.enum_type.values if value.number]
            numbers = numbers[: RELEASED_VALUES.get(field.enum_type.name)]
            setattr(message, field.name, numbers[seed(*path)[0] % len(numbers)])
        elif field.type == F.TYPE_BYTES:
            setattr(message, field.name, seed(*path))
        elif field.type == F.TYPE_STRING:
            setattr(message, field.name, f"{field.name} \u00e9")
        else:
            setattr(message, field.name, int.from_bytes(seed(*path)[:3]))
    return message


def sample(name: str, without=()):
    if name in EVENT_TYPES:
        return sample_event(EVENT_TYPES[name], without=without)
    return sample_message(FACT_TYPES[name](), name, without=without)


def added_groups(name: str) -> dict[str, tuple[str, ...]]:
    """What was added to a type since its first release: the file's suffix and the fields."""
    groups = {".added": ADDED[name]} if name in ADDED else {}
    later = ADDED_LATER.get(name, {})
    return groups | {f".added-{what}": fields for what, fields in later.items()}


def without(name: str, group: str = "") -> tuple[str, ...]:
    """Fields that a golden file does not have: all additions but its own."""
    groups = added_groups(name)
    own = groups.get(group, ())
    return tuple(field for fields in groups.values() for field in fields if field not in own)


def inside(left_out, name: str) -> tuple[str, ...]:
    """What of that is left out of a part."""
    return tuple(each.removeprefix(f"{name}.") for each in left_out if each.startswith(f"{name}."))


def encoded(name: str, missing=()) -> bytes:
    body = sample(name, missing)
    if name in EVENT_TYPES:
        return encode(body).payload
    return body.SerializeToString(deterministic=True)


def samples():
    """Golden name and bytes of the newest version of each type, as first released and as it is now."""
    for name in (*EVENT_TYPES, *FACT_TYPES):
        key = f"{name}.v{UPCASTERS.newest(name)}"
        for group in ("", *added_groups(name)):
            yield f"{key}{group}", encoded(name, without(name, group))


def manifest() -> dict[str, str]:
    return json.loads(MANIFEST.read_text())


def wanted() -> set[str]:
    return {
        f"{name}.v{version}"
        for name in (*EVENT_TYPES, *FACT_TYPES)
        for version in range(1, UPCASTERS.newest(name) + 1)
    } | {
        f"{name}.v{UPCASTERS.newest(name)}{group}"
        for name in {*ADDED, *ADDED_LATER}
        for group in added_groups(name)
    }


def test_every_type_and_version_has_its_golden_file():
    assert wanted() <= manifest().keys(), (
        f"no golden file for {sorted(wanted() - manifest().keys())}; see this file's first lines"
    )
    assert {path.stem for path in GOLDEN.glob("*.bin")} == manifest().keys()


def test_no_type_was_ever_taken_away():
    assert manifest().keys() <= wanted()


@pytest.mark.parametrize("name", sorted(wanted()))
def test_golden_bytes_decode(name):
    type_, version, *added = name.split(".")
    payload = (GOLDEN / f"{name}.bin").read_bytes()
    assert hashlib.sha256(payload).hexdigest() == manifest()[name], "a golden file was changed"
    event = decode_any(type_, int(version[1:]), payload)
    group = f".{added[0]}" if added else ""
    assert event == sample(type_, without(type_, group))


@pytest.mark.parametrize(("name", "payload"), list(samples()), ids=lambda v: str(v)[:30])
def test_what_is_written_today_is_what_was_released(name, payload):
    assert payload == (GOLDEN / f"{name}.bin").read_bytes()


def write_missing() -> None:
    GOLDEN.mkdir(exist_ok=True)
    known = manifest() if MANIFEST.exists() else {}
    for key, payload in samples():
        if key not in known:
            (GOLDEN / f"{key}.bin").write_bytes(payload)
            known[key] = hashlib.sha256(payload).hexdigest()
    MANIFEST.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    write_missing()
