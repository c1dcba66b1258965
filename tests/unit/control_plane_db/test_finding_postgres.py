import pwd
import sys
from pathlib import Path

import pytest

from headway_control_plane.db.embedded import privilege
from headway_control_plane.db.embedded.binaries import find_binaries, inspect_folder
from headway_control_plane.db.embedded.privilege import choose_descent
from headway_control_plane.db.embedded.socket_directory import socket_directory
from headway_control_plane.db.errors import BinariesNotFound, NoUnprivilegedUser

linux = pytest.mark.skipif(sys.platform != "linux", reason="root steps down on Linux alone")


def programs(folder: Path, version: str) -> Path:
    folder.mkdir()
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} {version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("version", "major"),
    [
        ("(PostgreSQL) 18.6", 18),
        ("(PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("(PostgreSQL) 19beta1", 19),
    ],
)
def test_a_folder_tells_its_major_version(tmp_path: Path, version: str, major: int) -> None:
    found = find_binaries(programs(tmp_path / "bin", version))

    assert (found.major, found.program("initdb")) == (major, str(tmp_path / "bin" / "initdb"))


def test_a_named_folder_is_taken_or_refused_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(
        BinariesNotFound, match=r"does not hold PostgreSQL's programs.*\n.*--database-url"
    ):
        find_binaries(tmp_path)
    with pytest.raises(BinariesNotFound, match="holds PostgreSQL 14; Headway needs 15 or newer"):
        find_binaries(programs(tmp_path / "old", "(PostgreSQL) 14.2"))


def test_programs_that_cannot_run_here_count_as_none(tmp_path: Path) -> None:
    folder = programs(tmp_path / "bin", "")
    (folder / "postgres").write_bytes(b"\x7fELF of another machine")

    assert inspect_folder(folder) is None


def test_an_ordinary_user_starts_it_as_itself(tmp_path: Path) -> None:
    assert choose_descent(1000, tmp_path, probe=lambda _: pytest.fail("asked")).prefix == ()


@linux
def test_root_prefers_a_user_namespace_and_falls_back_on_another_user(tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    asked: list[str] = []

    def probe(command: tuple[str, ...]) -> bool:
        asked.append(command[0])
        return command[0] != "unshare"

    preferred = choose_descent(0, tmp_path / "pg-18", probe=lambda _: True)
    fallback = choose_descent(0, tmp_path / "pg-18", probe=probe)

    assert (preferred.prefix[0], preferred.owner) == ("unshare", None)
    assert (fallback.prefix[0], fallback.owner) == ("setpriv", (account.pw_uid, account.pw_gid))
    assert asked == ["unshare", "setpriv", "setpriv"]


@linux
@pytest.mark.parametrize(
    ("works", "message"),
    [
        (lambda _: False, "Neither `unshare -U` nor `setpriv` works here"),
        (lambda command: command[-1] == "true" and command[0] == "setpriv", "cannot enter"),
    ],
)
def test_root_without_a_way_down_is_told_what_would_do(tmp_path: Path, works, message: str) -> None:
    with pytest.raises(NoUnprivilegedUser, match=rf"{message}.*\n.*HEADWAY_HOME=/var/lib/headway"):
        choose_descent(0, tmp_path / "pg-18", probe=works)


def test_a_command_that_is_not_there_does_not_run() -> None:
    assert not privilege.runs(("no-such-command-here",))


def test_the_socket_stays_in_the_home_while_its_path_fits(tmp_path: Path) -> None:
    temporary = Path("/short")
    near, deep = Path("/home/me/.headway"), Path("/home") / ("x" * 90)

    assert socket_directory(near, temporary) == near / "run"
    assert socket_directory(deep, temporary).parent == temporary
    assert socket_directory(deep, temporary) != socket_directory(deep / "other", temporary)
