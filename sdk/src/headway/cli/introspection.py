"""Ask the user's own Python what a flow is: its module is never imported into this process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.settings import active_virtual_environment

_TIMEOUT = 120


def choose_python(named: Path | None, root: Path) -> Path:
    """The named interpreter, else the active virtual environment's, else the project's own, else the one in use here."""
    if named is not None:
        # Not resolved: in a virtual environment the path is what finds its packages.
        return named.absolute()
    active = active_virtual_environment()
    for home in ([active] if active else []) + [root / ".venv", root / "venv"]:
        python = home / "bin" / "python"
        if python.exists():
            return python.absolute()
    return Path(sys.executable or shutil.which("python3") or "python3").absolute()


def entrypoint_of(target: str, root: Path) -> str:
    """Return `package.module:flow`; `package/module.py:flow` is accepted too."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        given = (place or name).removesuffix(":") if colon else target
        raise CommandError(
            f"{target!r} names no flow.",
            hint=f"Add the function's name: headway deploy {given or 'MODULE'}:FLOW",
            code=Exit.USAGE,
        )
    if not place.endswith(".py"):
        return target
    file = (Path.cwd() / place).resolve()
    if not file.is_file():
        raise CommandError(
            f"There is no file {file}.", hint="Check the path, then deploy again.", code=Exit.USAGE
        )
    if not file.is_relative_to(root):
        raise CommandError(
            f"{place} does not lie below the root {root}.",
            hint="Name its root: --root DIR",
            code=Exit.USAGE,
        )
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") + f":{name}"


def introspect(python: Path, entrypoint: str, root: Path) -> dict[str, Any]:
    """Run `python -m headway.introspect` and return what it says of the flow."""
    command = [str(python), "-m", "headway.introspect", entrypoint, "--root", str(root)]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except OSError as error:
        raise CommandError(
            f"{python} cannot be run: {error.strerror}.", hint="Name another: --python PATH"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"Importing {entrypoint} took more than {_TIMEOUT} s.",
            hint="Keep long work out of the module's top level.",
        ) from error
    if "No module named headway" in done.stderr:
        raise CommandError(
            f"{python} has no package headway.",
            hint=f"Install it there: {python} -m pip install headway",
        )
    try:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        last = done.stderr.strip().splitlines()[-1:] or ["(it said nothing)"]
        raise CommandError(f"{python} could not describe {entrypoint}: {last[0]}") from error
    if "error" in told:
        raise CommandError(
            f"{entrypoint} cannot be deployed: {told['error']['class']}: {told['error']['message']}",
            hint=_how_to_name_it(told["error"]["class"], entrypoint, root)
            or f"Try it: cd {root} && {python} -c 'import {entrypoint.partition(':')[0]}'",
            code=Exit.REFUSED,
        )
    return told


def _how_to_name_it(error_class: str, entrypoint: str, root: Path) -> str:
    """Advice for a name that leads to no flow; empty for what the user's own code raised."""
    module = entrypoint.partition(":")[0]
    match error_class.rpartition(".")[2]:
        case "EntrypointNotFound":
            return f"Name the module from {root}, or another root: headway deploy MODULE:FLOW --root DIR"
        case "NotAFlow":
            return f"Name a function that has @flow: headway deploy {module}:FLOW"
        case _:
            return ""
