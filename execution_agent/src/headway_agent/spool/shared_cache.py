"""The cache that agents share: entries of the flows' cache as small objects in the store, beside the values they name.

An entry is what the SDK wrote (`headway/runtime/cache_store.py`): the SHA-256 of one line of JSON, and that line. It is
written after its value. Whatever is not exactly as it was written is not there.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headway_agent.spool import kept_values
from headway_agent.spool.value_store import ValueAbsent, ValueStore, fetch

FORMAT = 1
OFFERS = "cache"
"""Folder in an attempt's directory: what its flow made, as files named by their keys."""
_KEY = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"task": str, "name": str, "parts": dict, "made_at_us": int, "run": str, "call": str}
Entry = Mapping[str, Any]


def is_key(text: object) -> bool:
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def parsed(raw: bytes, key: str) -> Entry | None:
    """An entry of this key; None where it is damaged, or of a form that this code does not know."""
    digest, _, body = raw.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        entry = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_known = isinstance(entry, dict) and entry.get("format") == FORMAT and entry.get("key") == key
    return entry if is_known and _is_whole(entry) else None


def _is_whole(entry: Entry) -> bool:
    has_all = all(isinstance(entry.get(name), kind) for name, kind in _FIELDS.items())
    return has_all and _is_result(entry.get("result"))


def _is_result(result: object) -> bool:
    if not isinstance(result, dict) or not isinstance(result.get("codec"), str):
        return False
    is_named = is_key(result.get("digest")) and isinstance(result.get("size"), int)
    return is_named and result.get("file", result["digest"]) == result["digest"]


class SharedCache:
    """Of one workspace: two of them that use one store see nothing of each other."""

    def __init__(self, store: ValueStore, workspace: str, result_max: int) -> None:
        self.store = store
        self._folder = f"cache/{workspace}"
        self._result_max = result_max

    def find(self, key: str) -> tuple[bytes, Entry]:
        """As it was written, and read. Raises ValueAbsent and StoreFault."""
        raw = self.store.read_note(self._name(key))
        entry = parsed(raw, key)
        if entry is None:
            raise ValueAbsent("the store's entry is not what was written, or of another format")
        return raw, entry

    def bring(self, entry: Entry, results: Path) -> None:
        """Its value, where that is a file, into the `results` of an attempt. Raises ValueAbsent, StoreFault and OSError."""
        result = entry["result"]
        if "file" not in result or (results / result["digest"]).exists():
            return
        if result["size"] > self._result_max:
            raise ValueAbsent(
                f"its value has {result['size']} bytes, more than HEADWAY_AGENT_RESULT_MAX"
            )
        results.mkdir(mode=0o700, exist_ok=True)
        value = results / result["digest"]
        fetch(self.store, result["digest"], value)
        kept_values.stored(value)

    def publish(self, run_dir: Path) -> None:
        """What an attempt's flow made, as far as the store has the values. Raises StoreFault and OSError."""
        for file in _offers(run_dir):
            raw = file.read_bytes()
            entry = parsed(raw, file.name)
            value = None if entry is None else _value_of(entry, run_dir)
            if value is not None and value.exists() and not kept_values.is_stored(value):
                continue  # made since values were looked at: its turn comes
            if entry is not None and (value is None or value.exists()):
                self.store.write_note(self._name(file.name), raw)
            file.unlink(missing_ok=True)

    def entries(self) -> Iterator[Entry]:
        """All that can be read, in no order. Raises StoreFault."""
        for name in self.store.notes(self._folder):
            key = name.rpartition("/")[2]
            try:
                yield self.find(key)[1]
            except ValueAbsent:
                continue  # deleted meanwhile, or foreign

    def delete(self, key: str) -> None:
        """The value stays: others may name it. Raises StoreFault."""
        self.store.delete_note(self._name(key))

    def clear(self) -> int:
        """Deletes all entries, what cannot be read too; how many there were. Raises StoreFault."""
        return sum(self.store.delete_note(name) for name in self.store.notes(self._folder))

    def _name(self, key: str) -> str:
        return f"{self._folder}/{key[:2]}/{key}"


def _offers(run_dir: Path) -> list[Path]:
    try:
        return sorted(path for path in (run_dir / OFFERS).iterdir() if is_key(path.name))
    except FileNotFoundError:
        return []


def _value_of(entry: Entry, run_dir: Path) -> Path | None:
    result = entry["result"]
    return run_dir / "results" / str(result["digest"]) if "file" in result else None
