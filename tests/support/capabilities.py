"""What a machine must be able to do for some fault tests, each found out by doing it.

`require` skips a test on a machine without; where HEADWAY_REQUIRE_CAPABILITIES=1 is set, as in the gate, it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache

import pytest

REQUIRED = "HEADWAY_REQUIRE_CAPABILITIES"


def require(*names: str) -> None:
    """Skip the test, or fail it where capabilities are required, unless the machine can do all of these."""
    missing = [name for name in names if not has(name)]
    if not missing:
        return
    text = (
        f"this machine lacks: {', '.join(f'{name} ({PROBES[name].__doc__})' for name in missing)}"
    )
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{text}; {REQUIRED}=1 says that it must not")
    pytest.skip(text)


@cache
def has(name: str) -> bool:
    return PROBES[name]()


def _does(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    return done.returncode == 0


def _root() -> bool:
    """runs as root"""
    return os.geteuid() == 0


def _netns() -> bool:
    """network namespaces and veth pairs, with ip"""
    inner = "ip link set lo up && ip link add probe type veth peer name other"
    return _does("ip", "-V") and _does("unshare", "--net", "sh", "-c", inner)


def _nft() -> bool:
    """nftables, in a network namespace"""
    rule = "nft add table inet probe && nft add chain inet probe c '{ type filter hook input priority 0; }'"
    return _does("unshare", "--net", "sh", "-c", f"{rule} && nft add rule inet probe c drop")


def _tc() -> bool:
    """a rate limit by tc's tbf, in a network namespace"""
    shape = "tc qdisc add dev lo root tbf rate 1mbit burst 32kbit latency 400ms"
    return _does("unshare", "--net", "sh", "-c", f"ip link set lo up && {shape}")


def _unshare() -> bool:
    """mount and PID namespaces, with unshare"""
    return _does("unshare", "--mount", "--pid", "--fork", "true")


def _timens() -> bool:
    """time namespaces, with unshare"""
    return _does("unshare", "--time", "--boottime", "3600", "--fork", "true")


def _tmpfs() -> bool:
    """mounting a small tmpfs"""
    with tempfile.TemporaryDirectory() as folder:
        mount = f"mount -t tmpfs -o size=1m probe {folder} && umount {folder}"
        return _does("unshare", "--mount", "sh", "-c", mount)


def _fuse() -> bool:
    """/dev/fuse"""
    return os.access("/dev/fuse", os.R_OK | os.W_OK)


def _cc() -> bool:
    """a C compiler"""
    return _does("cc", "--version")


def _stop() -> bool:
    """processes that can be stopped and continued"""
    return hasattr(os, "pidfd_open")


def _system_postgres() -> bool:
    """PostgreSQL's own server programs of the system"""
    from headway_control_plane.db.embedded.binaries import inspect_folder, system_folders

    return any(inspect_folder(folder) is not None for folder in system_folders())


PROBES: dict[str, Callable[[], bool]] = {
    "root": _root,
    "netns": _netns,
    "nft": _nft,
    "tc": _tc,
    "unshare": _unshare,
    "timens": _timens,
    "tmpfs": _tmpfs,
    "fuse": _fuse,
    "cc": _cc,
    "stop": _stop,
    "system postgres": _system_postgres,
}
