"""Clocks that are wrong: a wall clock that a test steps while programs run, a boot-time clock that drifts, a time namespace."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("wrong_clock.c")
_CLOCKS = struct.Struct("=dd")


class WrongClock:
    """The clocks of programs that are started with `environment`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._library = directory / "wrong_clock.so"
        self._file = directory / "clock"
        self._file.write_bytes(_CLOCKS.pack(0.0, 1.0))
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", self._library, _SOURCE, "-ldl"]
        subprocess.run(command, check=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "HEADWAY_TEST_CLOCK": str(self._file)}

    def set(self, wall: float, *, rate: float = 1.0) -> None:
        """The wall clock is wrong by so many seconds from now on; the boot-time clock, of leases, runs so many times as fast."""
        with self._file.open("r+b") as file:
            file.write(_CLOCKS.pack(wall, rate))


def elsewhere_in_time(seconds: int) -> list[str]:
    """What a command begins with whose boot-time and monotonic clocks are to be ahead by so many seconds."""
    return ["unshare", "--time", "--boottime", str(seconds), "--monotonic", str(seconds)]
