"""A part of `headway up` for tests: says ready, drains when its lifeline ends, misbehaves as told.

Usage: part.py LIFELINE READY NAME JOURNAL [stubborn|unready]

The journal gets one line at each turn: `<name> <word> <pid>`.
"""

import os
import select
import signal
import sys


def main(lifeline: int, ready: int, name: str, journal: str, *manners: str) -> None:
    def tell(word: str) -> None:
        with open(journal, "a") as file:  # noqa: PTH123 - appended whole, from several processes
            file.write(f"{name} {word} {os.getpid()}\n")

    tell("started")
    if "stubborn" in manners:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "unready" not in manners:
        os.write(ready, b"ready\n")
    os.close(ready)
    select.select([lifeline], [], [])
    tell("drains")
    if "stubborn" in manners:
        signal.pause()
    tell("ended")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
