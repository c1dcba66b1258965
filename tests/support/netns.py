"""A network of our own: a namespace, one wire to it, and a firewall at its far end that tests tell what to do to packets.

Processes enter it by `prefix`. Everything hangs on the namespace and the wire, and goes with them.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_numbers = itertools.count()
_NETWORKS = list(ipaddress.IPv4Network("10.211.0.0/16").subnets(new_prefix=30))
_NAMED = Path("/run/netns")
_OURS = re.compile(r"hw(\d+)n\d+")
_PER_PROCESS = 4


class Network:
    """`here` is our end's address, `there` the namespace's. Directions are as seen from there: `out` leaves the namespace."""

    def __init__(self) -> None:
        number = next(_numbers)
        assert number < _PER_PROCESS, "a process makes few networks, so that no two share addresses"
        pid = os.getpid()
        self.name = f"hw{pid}n{number}"
        self._wire = (f"hw{pid}a{number}", f"hw{pid}b{number}")
        subnet = _NETWORKS[(pid * _PER_PROCESS + number) % len(_NETWORKS)]
        self.here, self.there = (str(address) for address in subnet.hosts())
        self.prefix = ["nsenter", f"--net={_NAMED / self.name}"]
        self._bits = subnet.prefixlen

    def open(self) -> None:
        ours, theirs = self._wire
        _do("ip", "netns", "add", self.name)
        _do("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
        _do("ip", "addr", "add", f"{self.here}/{self._bits}", "dev", ours)
        _do("ip", "link", "set", ours, "up")
        self._inside("ip", "addr", "add", f"{self.there}/{self._bits}", "dev", theirs)
        self._inside("ip", "link", "set", theirs, "up")
        self._inside("ip", "link", "set", "lo", "up")
        self._nft(
            "add table inet trial",
            "add chain inet trial in { type filter hook input priority 0; }",
            "add chain inet trial out { type filter hook output priority 0; }",
        )

    def close(self) -> None:
        for command in (("link", "del", self._wire[0]), ("netns", "del", self.name)):
            with suppress(subprocess.CalledProcessError):  # it was never made
                _do("ip", *command)

    # The firewall -----------------------------------------------------------------------------------------

    def cut(self, *, out: bool = True, into: bool = True) -> None:
        """Drop every packet of a direction, or of both."""
        self._drop("", out=out, into=into)

    def lose(self, percent: int) -> None:
        """Drop packets at random, in each direction."""
        self._drop(f"numgen random mod 100 < {percent}")

    def forget_flow(self, port: int, *, ours: bool = False) -> None:
        """Drop all that belongs to the connection that has this port there, or here, as a router that forgot it."""
        leaving, arriving = ("dport", "sport") if ours else ("sport", "dport")
        self._nft(
            f"add rule inet trial out tcp {leaving} {port} counter drop",
            f"add rule inet trial in tcp {arriving} {port} counter drop",
        )

    def swallow_ends(self) -> None:
        """Drop what tells the other side of a connection's end."""
        self._drop("tcp flags & (fin | rst) != 0")

    def heal(self) -> None:
        self._nft("flush table inet trial")
        for prefix, end in (([], self._wire[0]), (self.prefix, self._wire[1])):
            with suppress(subprocess.CalledProcessError):  # it was not narrow
                _do(*prefix, "tc", "qdisc", "del", "dev", end, "root")

    def narrow(self, rate: str) -> None:
        """Let no more than `rate` through, each way."""
        for prefix, end in (([], self._wire[0]), (self.prefix, self._wire[1])):
            shape = ("root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")
            _do(*prefix, "tc", "qdisc", "add", "dev", end, *shape)

    def dropped(self) -> int:
        """Packets that the rules of now have dropped."""
        told = json.loads(self._inside("nft", "-j", "list", "table", "inet", "trial"))
        rules = [entry["rule"] for entry in told["nftables"] if "rule" in entry]
        return sum(
            part["counter"]["packets"]
            for rule in rules
            for part in rule["expr"]
            if "counter" in part
        )

    def delayed(self) -> int:
        """Packets that had to wait, or did not fit, since the wire is narrow."""
        told = _do(*self.prefix, "tc", "-s", "qdisc", "show", "dev", self._wire[1])
        told += _do("tc", "-s", "qdisc", "show", "dev", self._wire[0])
        return sum(int(number) for number in re.findall(r"overlimits (\d+)", told))

    def _drop(self, match: str, *, out: bool = True, into: bool = True) -> None:
        chains = [name for name, wanted in (("out", out), ("in", into)) if wanted]
        self._nft(*(f"add rule inet trial {chain} {match} counter drop" for chain in chains))

    def _nft(self, *statements: str) -> None:
        self._inside("nft", "-f", "-", given="\n".join(statements))

    def _inside(self, *command: str, given: str = "") -> str:
        return _do(*self.prefix, *command, given=given)


@contextmanager
def network() -> Iterator[Network]:
    """A network for as long as the block lasts. What a killed test process left behind goes first."""
    _sweep()
    made = Network()
    try:
        made.open()
        yield made
    finally:
        made.close()


def _sweep() -> None:
    for found in _NAMED.iterdir() if _NAMED.exists() else ():
        ours = _OURS.fullmatch(found.name)
        if ours and not Path(f"/proc/{ours[1]}").exists():
            with suppress(subprocess.CalledProcessError):  # another process was quicker
                _do("ip", "netns", "del", found.name)


def _do(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkFailed(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


class NetworkFailed(subprocess.CalledProcessError):
    """A command that shapes the network failed; with its words."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr}"
