"""The data directory: one for each major version, made whole or not at all."""

import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path

from headway_control_plane.db.embedded.binaries import Binaries, find_major
from headway_control_plane.db.embedded.privilege import Descent
from headway_control_plane.db.errors import ForeignMajor, ServerFailed

SUPERUSER = "headway"
_PGPASS = "headway.pgpass"
_NAME = re.compile(r"pg-(\d+)")


def data_directory(home: Path, major: int) -> Path:
    return home / f"pg-{major}"


def password_file(data: Path) -> Path:
    """Return the file, readable by the owner alone, that libpq takes the password from."""
    return data / _PGPASS


def refuse_foreign(home: Path, binaries: Binaries) -> None:
    """Refuse to begin an empty database beside one that another major version wrote."""
    data = data_directory(home, binaries.major)
    if data.exists():
        written_by = _major_written_in(data)
        if written_by not in {None, binaries.major}:
            raise ForeignMajor(
                f"{data} was written by PostgreSQL {written_by}, not {binaries.major}.",
                next_step=f"Give it its own name again: mv {data} {data_directory(home, written_by or 0)}",
            )
        return
    others = sorted(
        int(m[1]) for m in (_NAME.fullmatch(entry.name) for entry in home.iterdir()) if m
    )
    if others:
        raise _foreign(home, newest=others[-1], binaries=binaries)


def initialise(data: Path, binaries: Binaries, descent: Descent, *, durable: bool = True) -> None:
    """Make the data directory, under another name until it is complete."""
    for half_made in data.parent.glob(f"{data.name}.new-*"):
        shutil.rmtree(half_made)
    fresh = data.with_name(f"{data.name}.new-{os.getpid()}")
    fresh.mkdir(mode=0o700)
    # Beside the directory: initdb wants it empty.
    password = fresh.with_name(f"{fresh.name}.password")
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(32))
    try:
        for path in (fresh, password):
            give_away(path, descent)
        _initdb(fresh, password, binaries, descent, durable=durable)
        _write_password_file(fresh, password.read_text())
        fresh.rename(data)
    finally:
        password.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)


def give_away(path: Path, descent: Descent) -> None:
    """Hand one of our files to the user that PostgreSQL runs as, when that is another one."""
    if descent.owner is not None:
        os.chown(path, *descent.owner)


def _initdb(
    data: Path, password: Path, binaries: Binaries, descent: Descent, *, durable: bool
) -> None:
    command = [
        *descent.prefix,
        "env",
        "LC_ALL=C",
        binaries.program("initdb"),
        "-D",
        str(data),
        "-U",
        SUPERUSER,
    ]
    command += ["-E", "UTF8", "--no-locale", "--data-checksums", "--no-instructions"]
    command += ["--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={password}"]
    if not durable:
        command.append("--no-sync")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=data.parent)
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip()
        raise ServerFailed(
            f"PostgreSQL's initdb failed in {data.parent}:\n{output}",
            next_step="Check that the disk has room (about 50 MB) and that the folder is yours, then try again.",
        )


def _write_password_file(data: Path, password: str) -> None:
    path = password_file(data)
    path.touch(mode=0o600)
    path.write_text(f"*:*:*:{SUPERUSER}:{password}\n")


def _major_written_in(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _foreign(home: Path, *, newest: int, binaries: Binaries) -> ForeignMajor:
    data = data_directory(home, newest)
    old = find_major(newest)
    keep = (
        f"Keep using it: headway up --postgres-bin {old.folder}"
        if old
        else f"Keep using it: install PostgreSQL {newest} and run: headway up --postgres-bin FOLDER"
    )
    return ForeignMajor(
        f"{data} holds data of PostgreSQL {newest}, and this machine would start PostgreSQL {binaries.major}.",
        next_step=f"{keep}\nOr begin with an empty database: mv {data} {data}.old",
    )
