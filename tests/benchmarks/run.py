"""Runs benchmarks: `python -m tests.benchmarks.run [names] [--quick] [--json FILE] [--list]`.

Each figure stands beside a yardstick that was measured in the same run: on another machine, or in another minute,
absolute numbers say little.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # benchmarks fork; gRPC has no part in it

from benchmarks.bench import Bench, machine
from benchmarks.report import Figure, table

NAMES = (
    "import",
    "latency",
    "calls",
    "maps",
    "children",
    "sdk",
    "throughput",
    "idle",
    "events",
    "lists",
    "stored",
    "flush",
    "workspaces",
    "subscribers",
    "streams",
)


def main() -> int:
    options = _options()
    if options.list:
        for name in NAMES:
            print(f"{name:12}{_module(name).SUMMARY}")
        return 0
    measured: dict[str, list[Figure]] = {}
    with Bench(quick=options.quick) as bench:
        line = machine(bench.folder)
        print(line, flush=True)
        if os.getloadavg()[0] > (os.cpu_count() or 1):
            print("Other work runs on this machine: trust the ratios, not the goals.", flush=True)
        for name in options.names or NAMES:
            print(f"\n{name}: {_module(name).SUMMARY}", flush=True)
            begun = time.monotonic()
            measured[name] = _module(name).measure(bench)
            print(table(measured[name]))
            print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
    goals = [f for figures in measured.values() for f in figures if f.goal is not None]
    print(f"\nGoals: {sum(f.met is True for f in goals)} of {len(goals)} met")
    print(table(goals))
    if options.quick:
        print("Sizes were small (--quick): this shows that all of it works, not how fast.")
    if options.json:
        content = {name: [f.to_json() for f in figures] for name, figures in measured.items()}
        options.json.write_text(json.dumps({"machine": line, "figures": content}, indent=2))
    return 0


def _module(name: str):
    return import_module(f"benchmarks.bench_{name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that all of it works"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
