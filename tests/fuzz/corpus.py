"""Inputs that once did what must not happen, one small text file each. Every one is replayed by `make test`.

A piece is written as runs of Latin-1 text, each byte a character, with the number of its repetitions: an input of a megabyte of one bracket is a line.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
RUN = 16  # a byte that comes so often in a row is written once

Script = tuple[bytes, ...]


@dataclass(frozen=True)
class Entry:
    path: Path
    why: str
    script: Script


def load(name: str) -> list[Entry]:
    return [read(path) for path in sorted((CORPUS / name).glob("*.json"))]


def read(path: Path) -> Entry:
    kept = json.loads(path.read_text())
    pieces = tuple(
        b"".join(text.encode("latin-1") * times for text, times in runs) for runs in kept["pieces"]
    )
    return Entry(path, kept["why"], pieces)


def save(name: str, why: str, script: Script) -> str:
    """Keeps an input; gives its file's name."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"\0".join(script)).hexdigest()[:12]
    path = folder / f"{digest}.json"
    pieces = [list(_runs(piece)) for piece in script]
    path.write_text(json.dumps({"why": why, "pieces": pieces}, indent=1) + "\n")
    return f"{name}/{path.name}"


def _runs(piece: bytes) -> Iterator[tuple[str, int]]:
    plain = bytearray()
    for byte, group in itertools.groupby(piece):
        times = len(list(group))
        if times < RUN:
            plain += bytes([byte]) * times
            continue
        if plain:
            yield plain.decode("latin-1"), 1
            plain = bytearray()
        yield bytes([byte]).decode("latin-1"), times
    if plain:
        yield plain.decode("latin-1"), 1
