"""What completed runs returned, for runs on other machines: told and fetched through the store of values.

The store has a description (`codec`, `size`, `digest`) of what a run returned at `runs/<run>/<fence>`, written when the value is there; of a
value that holds a secret it says (`secret`) that it is not there.
A flow that needs it makes an empty file `wanted/<run>.<fence>` in its attempt's directory. The agent puts the value among the attempt's
results and then the description into the file `<run>.<fence>.json` beside the other; `{"absent": why}` where it cannot be had any more.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway_agent.spool.kept_values import stays, stored
from headway_agent.spool.value_store import ValueAbsent, ValueStore, fetch

_WISH = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,9})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 4096


def place(run: str, fence: int) -> str:
    """Where a store describes what that attempt returned."""
    return f"runs/{run}/{fence}"


def tell(store: ValueStore, run_dir: Path, result: Mapping[str, Any]) -> None:
    """Tells the store what the run of this directory returned."""
    note = run_dir / "returned.json"
    described = {name: result[name] for name in ("codec", "size", "digest") if name in result}
    if stays(run_dir, result):
        described = {"codec": "none", "secret": True}
    _write(note, described)
    store.put(place(run_dir.parent.name, int(run_dir.name)), note)


def fetch_wanted(store: ValueStore, run_dir: Path) -> bool:
    """Gets what the flow of this attempt wants now; whether there was something, for then more may follow soon.

    What is not there yet is looked for again. Raises StoreFault and OSError.
    """
    folder = run_dir / "wanted"
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return False
    got = False
    for name in sorted(names):
        wish = _WISH.fullmatch(name)
        if wish and f"{name}.json" not in names:
            found = _fetch(store, run_dir, wish[1], int(wish[2]))
            if found is not None:
                _write(folder / f"{name}.json", found)
                got = True
    return got


def _fetch(store: ValueStore, run_dir: Path, run: str, fence: int) -> dict[str, Any] | None:
    note = run_dir / "wanted" / f"{run}.{fence}.note"
    try:
        store.get(place(run, fence), note)
        told = _read(note)
    except ValueAbsent:
        return None  # its agent has not told yet
    finally:
        note.unlink(missing_ok=True)
    if told is None:
        return {"absent": "the store's description of it cannot be read"}
    if told.get("secret"):
        return {"absent": "it holds a secret, and stays with the agent that executed the run"}
    if told["codec"] == "none":
        return told
    try:
        _keep(store, told["digest"], run_dir / "results")
    except ValueAbsent as error:
        return {"absent": str(error)}
    return {**told, "file": told["digest"]}


def _keep(store: ValueStore, digest: str, folder: Path) -> None:
    """A file among the attempt's own, which the store has already."""
    target = folder / digest
    if not target.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        fetch(store, digest, target)
        stored(target)


def _read(note: Path) -> dict[str, Any] | None:
    """A description of the form that `describe` gives; None for any other."""
    if note.stat().st_size > _MOST_BYTES:
        return None
    try:
        told = json.loads(note.read_bytes())
    except ValueError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("codec"), str):
        return None
    if told["codec"] != "none" and not _DIGEST.fullmatch(str(told.get("digest"))):
        return None
    return told


def _write(file: Path, content: Mapping[str, Any]) -> None:
    """Whole under its name, or not at all."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(content))
    part.chmod(0o600)
    part.replace(file)
