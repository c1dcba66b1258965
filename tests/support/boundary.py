"""Words that must stay in the customer's network, flows that hold them wherever a word can be, and looking for them in bytes."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import zstandard
from psycopg import sql

# Of these the control plane must learn nothing.
STAYS = (
    "code", "comment", "task", "retried_task", "subflow", "line", "logger", "stderr", "variable_name", "variable",
    "message", "cause", "local", "result", "directory", "file",
)  # fmt: skip
# These the user tells it, with `headway deploy` and `headway run`: the control plane could not show or start anything
# without them. An agent of a closed pool still does not repeat them.
TOLD = ("flow", "module", "description", "deployment", "tag", "run_name", "parameter", "default")

_FLOWS = '''
import os, sys
from headway import flow, get_run_logger, run_context, task

IN_CODE = "{code}"  # {comment}

class Unfit(Exception):
    """Error classes are permitted in every pool."""

@task(name="{task}")
def work(value):
    print("printed {line}", value, flush=True)
    get_run_logger().warning("{logger} %s", os.environ["{variable_name}"])
    print("{stderr}", file=sys.stderr, flush=True)
    return [value, "{result}", os.environ["{variable_name}"]]

@task(name="{retried_task}", retries=1)
def retried(value):
    if run_context().try_number == 1:
        raise ConnectionError("{message} " + IN_CODE)
    return value

@flow(name="{subflow}")
def inner(value):
    return work(value)

@flow(name="{flow}-completes", description="{description}", tags=["{tag}"])
def completes(value, other="{default}", gate=""):
    results = work.map([value] * 3)
    retried(value)
    inner(value)
    if gate:
        with open(gate) as pipe:
            pipe.read()
    return [result.result() for result in results]

@flow(name="{flow}-fails")
def fails(value):
    local = "{local}" + value
    try:
        raise KeyError("{cause}")
    except KeyError as cause:
        raise Unfit("{message} " + local + str(work(value))) from cause

@flow(name="{flow}-crashes")
def crashes(value):
    work(value)
    os._exit(3)
'''


@dataclass(frozen=True)
class Words:
    """One random word for each place where something of the customer's can be."""

    of: Mapping[str, str] = field(
        default_factory=lambda: {kind: f"w{secrets.token_hex(8)}" for kind in (*STAYS, *TOLD)}
    )

    def __getitem__(self, kind: str) -> str:
        return self.of[kind]

    def write_flows(self, directory: Path) -> Path:
        """Write the flows under a root; return the root."""
        root = directory / self["directory"]
        root.mkdir()
        (root / f"{self['module']}.py").write_text(_FLOWS.format(**self.of))
        return root

    def write_variables(self, directory: Path) -> Path:
        path = directory / f"{self['file']}.env"
        path.write_text(f"{self['variable_name']}={self['variable']}\n")
        return path

    def found_in(self, served: bytes, kinds: Iterable[str]) -> set[str]:
        """Which words are in some bytes, as they are or encoded."""
        return {kind for kind in kinds if holds(served, self[kind].encode())}


def holds(served: bytes, word: bytes) -> bool:
    """Whether bytes hold a word: as it is, percent-encoded, in hex, in UTF-16, or in base64 at any of its three places."""
    return any(form in served for form in forms(word))


def forms(word: bytes) -> set[bytes]:
    found = {word, quote(word).encode(), word.hex().encode(), word.hex().upper().encode()}
    found.add(word.decode("latin-1").encode("utf-16-le"))
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            padded = encode(bytes(before) + word)
            # The first and the last digits also hold what stands beside the word.
            found.add(padded[-(-before * 4 // 3) + (before > 0) : len(padded) - 4].rstrip(b"="))
    return found


def database_contents(url: str) -> bytes:
    """Every row of every table of ours, as bytes; output unpacked."""
    seen = io.BytesIO()
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        ).fetchall()
        assert len(tables) > 20
        for (table,) in tables:
            name = sql.SQL(table)
            with connection.cursor().copy(
                sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(name)
            ) as rows:
                for piece in rows:
                    seen.write(piece)
        for (chunk,) in connection.execute("SELECT bytes FROM headway.log_chunk").fetchall():
            seen.write(zstandard.ZstdDecompressor().decompressobj().decompress(chunk))
    return seen.getvalue()
