"""Which values of an attempt are still to go to the store. The files tell, so a new agent process knows it too:

`results/<digest>` is a value, `results/<digest>.stored` beside it says that the store has it, and `stored` in the attempt's
directory that the attempt is over and the store has all of it. A value beside which the flow process put `results/<digest>.here`
holds a secret, and goes nowhere.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway_agent.spool.frames import FactLog, writer_alive

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MARK = ".stored"
_STAYS = ".here"
_ALL = "stored"


def unstored(run_dir: Path) -> list[Path]:
    """Files of values that the store may not have yet."""
    folder = run_dir / "results"
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return []
    return [
        folder / name
        for name in sorted(names)
        if _DIGEST.fullmatch(name) and not {name + _MARK, name + _STAYS} & names
    ]


def stored(file: Path) -> None:
    """The store has this value."""
    file.with_name(file.name + _MARK).touch(mode=0o600)


def is_stored(file: Path) -> bool:
    return file.with_name(file.name + _MARK).exists()


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing will be added. `returned`: what the run gave, as it is recorded; None where it did not complete."""

    returned: Mapping[str, Any] | None


def over(run_dir: Path) -> Over | None:
    """None while something may be added. What the run gave is a file by then, too: others may ask the store for it."""
    log = run_dir / "frames.log"
    if writer_alive(log):
        return None
    facts = FactLog(log)
    facts.scan()
    if facts.exited is None:
        return None
    ended = facts.ended or {}
    result = facts.exited.get("result", ended.get("result"))
    if not isinstance(result, dict):
        return Over(None)
    data = inline(result)
    if data is not None and not stays(run_dir, result):
        _keep(run_dir / "results", data)
    return Over(result)


def stays(run_dir: Path, result: Mapping[str, Any]) -> bool:
    """Whether a recorded result holds a secret, as far as its flow's process could tell."""
    if "secrets" not in result:
        return False
    file = result.get("file")
    return file is None or (run_dir / "results" / f"{file}{_STAYS}").exists()


def wholly_stored(run_dir: Path) -> None:
    """The attempt is over, and the store has all of its values."""
    (run_dir / _ALL).touch(mode=0o600)


def is_wholly_stored(run_dir: Path) -> bool:
    """So nothing needs to be looked at again."""
    return (run_dir / _ALL).exists()


def may_go(run: Path) -> bool:
    """Whether a run's directory holds no value that the store has not."""
    return all(is_wholly_stored(log.parent) for log in run.glob("*/frames.log"))


def inline(result: Mapping[str, Any]) -> bytes | None:
    """The value in a frame; None where there is none, or not what its digest says."""
    data, codec = result.get("data"), result.get("codec")
    if not isinstance(data, str):
        return None
    try:
        value = data.encode() if codec == "json" else base64.b64decode(data, validate=True)
    except ValueError:
        return None
    return value if hashlib.sha256(value).hexdigest() == result.get("digest") else None


def _keep(folder: Path, data: bytes) -> None:
    target = folder / hashlib.sha256(data).hexdigest()
    if target.exists():
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    part = target.with_name(f"{target.name}.agent.part")
    part.write_bytes(data)
    part.replace(target)
