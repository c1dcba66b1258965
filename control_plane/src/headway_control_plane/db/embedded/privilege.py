"""How to start PostgreSQL when we are root, which it refuses to run as.

A user namespace of its own makes the effective user id another one for PostgreSQL while the kernel still sees root:
no account, no chown, no changed permissions. Where that is not permitted, the server becomes `nobody` and its files
are given to `nobody`.
"""

import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway_control_plane.db.errors import NoUnprivilegedUser

UNPRIVILEGED_USER = "nobody"


@dataclass(frozen=True, slots=True)
class Descent:
    """What stands before a command of PostgreSQL, and who must own its files (None: whoever makes them)."""

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None


def choose_descent(euid: int, data: Path, *, probe: Callable[[tuple[str, ...]], bool]) -> Descent:
    """Return how to start PostgreSQL on a data directory, which may not exist yet."""
    if euid != 0:
        return Descent()
    if sys.platform != "linux":
        raise _no_way_down("This system offers no user namespaces.")
    account = _unprivileged_account()
    uid, gid = account.pw_uid, account.pw_gid
    namespace = ("unshare", "-U", f"--map-user={uid}", f"--map-group={gid}")
    switch = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    belongs_to_account = data.exists() and data.stat().st_uid == uid
    if not belongs_to_account and probe((*namespace, "true")):
        return Descent(namespace)
    if not probe((*switch, "true")):
        raise _no_way_down("Neither `unshare -U` nor `setpriv` works here.")
    if not probe((*switch, "test", "-x", str(data.parent))):
        raise _no_way_down(f"The user {UNPRIVILEGED_USER} cannot enter {data.parent}.")
    return Descent(switch, owner=(uid, gid))


def runs(command: tuple[str, ...]) -> bool:
    """Return whether a command runs and ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _unprivileged_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise _no_way_down(f"There is no user {UNPRIVILEGED_USER} here.") from None


def _no_way_down(reason: str) -> NoUnprivilegedUser:
    return NoUnprivilegedUser(
        f"PostgreSQL refuses to run as root. {reason}",
        next_step=(
            "Run headway as an ordinary user, or choose a folder that everybody may enter "
            "(HEADWAY_HOME=/var/lib/headway headway up), or use a server of your own with --database-url."
        ),
    )
