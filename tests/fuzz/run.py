"""Fuzzes: `python -m tests.fuzz.run [NAME ...] [--seconds 60] [--seed N] [--executions N]`.

What is found is made small, kept in tests/fuzz/corpus and replayed by every `make test` from then on.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.harness import Limits, fuzz
from fuzz.rest import RestFuzzer
from fuzz.targets import TARGETS

REST = RestFuzzer.name
NAMES = (REST, *TARGETS)


def main() -> int:
    options = _options()
    logging.disable(logging.CRITICAL)
    found = 0
    for name in options.names or NAMES:
        limits = Limits(options.seconds, options.executions)
        if name == REST:
            report = asyncio.run(RestFuzzer().fuzz(options.seed, limits))
        else:
            report = asyncio.run(fuzz(TARGETS[name](), options.seed, limits))
        print(report, flush=True)
        found += len(report.findings)
    return bool(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], help="all of them if none is named"
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--executions", type=int, help="end after so many, whatever the time")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
