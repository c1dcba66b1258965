"""Where the server's Unix socket lives: short enough for the kernel, closed to everybody else."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from headway_control_plane.db.embedded.privilege import Descent
from headway_control_plane.db.errors import ServerFailed

PORT = 5432
_SOCKET_NAME = f"/.s.PGSQL.{PORT}.lock"
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero byte included.
_LONGEST_PATH = 103


def socket_directory(home: Path, temporary: Path | None = None) -> Path:
    """Return the home's own `run` folder, or a folder of the system's temporary one when the home's path is too long."""
    own = home / "run"
    if len(os.fsencode(own)) + len(_SOCKET_NAME) <= _LONGEST_PATH:
        return own
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return (temporary or Path(tempfile.gettempdir())) / f"headway-{os.geteuid()}-{digest}"


def make_private(path: Path, descent: Descent) -> None:
    """Make the folder, or make sure that the one that is there is a private one of ours."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    ours = {os.geteuid(), *(descent.owner or ())[:1]}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise ServerFailed(
            f"{path} belongs to somebody else, so PostgreSQL's socket would not be safe there.",
            next_step="Choose a home with a shorter path: HEADWAY_HOME=DIR headway up",
        )
    path.chmod(0o700)
    if descent.owner is not None:
        os.chown(path, *descent.owner)
