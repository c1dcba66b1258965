"""The workspace's variables on this machine: the newest ones in the state directory, and in each attempt's directory those that it began with."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def keep(path: Path, values: Mapping[str, Any]) -> None:
    """Whole under its name or not at all: an attempt that starts at this moment takes the old ones or these."""
    fresh = path.with_name(f"{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(values, file)
    fresh.replace(path)


def drop(path: Path) -> None:
    path.unlink(missing_ok=True)


def give(path: Path, run_dir: Path) -> None:
    """One more name for the file as it is now: newer ones come in a file of their own. Without variables there is none."""
    given = run_dir / path.name
    run_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        run_dir.mkdir(mode=0o700)
    except FileExistsError:
        given.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        os.link(path, given)
