"""Finds the database that a running `headway up` keeps for a home, without claiming it: for verbs that read it."""

from pathlib import Path
from urllib.parse import urlencode

from headway_control_plane.db.embedded import data_directory
from headway_control_plane.db.embedded.server import DATABASE
from headway_control_plane.db.embedded.socket_directory import PORT, socket_directory


def running_database(home: Path) -> str | None:
    """Return the URL of the home's database, or None when no server runs there."""
    home = home.resolve()
    sockets = socket_directory(home)
    if not (sockets / f".s.PGSQL.{PORT}").exists():
        return None
    for data in sorted(home.glob("pg-*")):
        if (data / "postmaster.pid").exists():
            where = {
                "host": str(sockets),
                "port": str(PORT),
                "passfile": str(data_directory.password_file(data)),
            }
            return f"postgresql://{data_directory.SUPERUSER}@/{DATABASE}?{urlencode(where)}"
    return None
