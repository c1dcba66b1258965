"""The SHA-256 of ten thousand files, one task each, and which of them are the same."""

from __future__ import annotations

import csv
import hashlib
import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import TypedDict

from headway import flow, task, unmapped

STDLIB = Path(sysconfig.get_paths()["stdlib"])


class Digest(TypedDict):
    """Of one file. `sha256` is empty if the file could not be read; `size` is in bytes."""

    path: str
    size: int
    sha256: str


class Summary(TypedDict):
    files: int
    unreadable: int
    size: int
    wasted: int
    manifest: str


@task
def find(folder: Path, limit: int) -> list[str]:
    """The first `limit` files below the folder, in the order of their names. Links are left alone."""
    every = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in every)[:limit]


@task(task_run_name="{path}")
def digest(folder: Path, path: str) -> Digest:
    """A file that is gone or closed to us is a finding and no failure: the manifest shows it."""
    try:
        with (folder / path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            return Digest(path=path, size=file.tell(), sha256=found)
    except (FileNotFoundError, PermissionError):
        return Digest(path=path, size=0, sha256="")


@task
def write(manifest: Path, digests: list[Digest]) -> None:
    """Writes beside the manifest and renames, so that nobody ever sees half of one."""
    new = manifest.with_name(manifest.name + ".new")
    with new.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["path", "size", "sha256"])
        table.writeheader()
        table.writerows(digests)
    new.replace(manifest)


@flow
def fingerprint(manifest: Path, folder: Path = STDLIB, limit: int = 10_000) -> Summary:
    """Writes the digests of up to `limit` files below `folder` into the CSV file `manifest`."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no directory: pass one with -p folder=/some/where")
    if not manifest.parent.is_dir():
        raise ValueError(f"{manifest.parent} is no directory: make it, or name another manifest")
    paths = find(folder, limit)
    digests = digest.map(unmapped(folder), paths).result() if paths else []
    write(manifest, digests)
    readable = [each for each in digests if each["sha256"]]
    return Summary(
        files=len(readable),
        unreadable=len(digests) - len(readable),
        size=sum(each["size"] for each in readable),
        wasted=wasted(readable),
        manifest=str(manifest),
    )


def wasted(digests: list[Digest]) -> int:
    """Bytes in files that have a twin before them."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for each in digests:
        sizes[each["sha256"]].append(each["size"])
    return sum(size for same in sizes.values() for size in same[1:])
