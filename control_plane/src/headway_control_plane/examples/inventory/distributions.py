"""Reads what installers left behind: metadata, file lists with their hashes, entry points."""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata
from pathlib import Path
from typing import TypedDict


class Distribution(TypedDict):
    """One installed distribution; sizes in bytes."""

    name: str
    version: str
    licence: str
    summary: str
    requires: list[str]
    entry_points: list[str]
    files: int
    size: int


class Hashed(TypedDict):
    """What hashing one batch of files found."""

    files: int
    size: int
    digest: str  # over the digests of the batch's files, in order
    changed: list[str]  # files whose hash is not the one the installer recorded
    missing: list[str]


def normalised(name: str) -> str:
    """The form under which package names compare equal: `Foo.Bar_baz` is `foo-bar-baz`."""
    return "-".join(
        part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part
    )


def installed() -> list[str]:
    """The names of all distributions on the path, sorted, each once."""
    names = (dist.metadata["Name"] for dist in metadata.distributions())
    return sorted({normalised(name) for name in names if name})


def read(name: str) -> Distribution:
    """What one distribution says of itself."""
    dist = metadata.distribution(name)
    paths = [Path(str(dist.locate_file(file))) for file in dist.files or ()]
    present = [path for path in paths if path.is_file()]
    return Distribution(
        name=normalised(dist.metadata["Name"]),
        version=dist.version,
        licence=_licence(dist),
        summary=_field(dist, "Summary"),
        requires=list(dist.requires or ()),
        entry_points=sorted(f"{e.group}: {e.name}" for e in dist.entry_points),
        files=len(present),
        size=sum(path.stat().st_size for path in present),
    )


def _licence(dist: metadata.Distribution) -> str:
    """The licence as an expression, from a classifier, or from the first line of the free text."""
    expression = _field(dist, "License-Expression")
    if expression:
        return expression
    classifiers = dist.metadata.get_all("Classifier") or []
    named = [c.rsplit(" :: ", 1)[-1] for c in classifiers if c.startswith("License :: ")]
    if named:
        return ", ".join(named)
    text = _field(dist, "License")
    return text.splitlines()[0][:60] if text else "not stated"


def _field(dist: metadata.Distribution, name: str) -> str:
    """One header of the metadata; empty when it is not there."""
    return str(dist.metadata[name]).strip() if name in dist.metadata else ""


def files_of(name: str) -> list[tuple[str, str]]:
    """(path, recorded SHA-256 as the installer wrote it, or empty) of each file of a distribution."""
    dist = metadata.distribution(name)
    found = []
    for file in dist.files or ():
        recorded = file.hash.value if file.hash is not None and file.hash.mode == "sha256" else ""
        found.append((str(dist.locate_file(file)), recorded))
    return found


def hash_files(batch: list[tuple[str, str]]) -> Hashed:
    """Hashes the files and compares each with its record."""
    total, size = hashlib.sha256(), 0
    changed, missing = [], []
    for name, recorded in batch:
        path = Path(name)
        if not path.is_file():
            missing.append(name)
            continue
        content = path.read_bytes()
        digest = hashlib.sha256(content).digest()
        size += len(content)
        total.update(digest)
        if recorded and base64.urlsafe_b64encode(digest).decode().rstrip("=") != recorded:
            changed.append(name)
    return Hashed(
        files=len(batch) - len(missing),
        size=size,
        digest=total.hexdigest(),
        changed=changed,
        missing=missing,
    )
