"""Simulates: `python -m tests.simulation.run --seeds 0:1000 [--mode safety|liveness] [--trace SEED] [--power]`.

A failing seed is printed with its last steps; `--trace SEED` tells one seed's whole story. `--power` plants bugs and counts the seeds
until each is found.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.faults import KINDS
from simulation.power import BUGS, hunt
from simulation.scenario import Outcome, simulate


def main() -> int:
    options = _options()
    logging.disable(logging.CRITICAL)
    if options.power:
        return _power(options.seeds)
    if options.trace is not None:
        outcome = simulate(options.trace, liveness=options.mode == "liveness", keep=0)
        _tell(outcome)
        return bool(outcome.broken)
    return _simulate(options.seeds, liveness=options.mode == "liveness")


def _simulate(seeds: range, *, liveness: bool) -> int:
    failed, hours, steps, happened = [], 0.0, 0, Counter[str]()
    begun = time.process_time()
    for seed in seeds:
        outcome = simulate(seed, liveness=liveness)
        hours, steps = hours + outcome.hours, steps + outcome.steps
        happened.update(outcome.happened)
        if outcome.broken:
            failed.append(seed)
            _tell(outcome)
    minutes = (time.process_time() - begun) / 60
    print(f"{len(seeds)} seeds, {len(failed)} failed: {failed}")
    print(f"{hours:.0f} simulated hours, {hours / minutes:.0f} a CPU minute; {steps / minutes / 60:.0f} steps a second")
    print("faults: " + ", ".join(f"{kind} {happened[kind]}" for kind in KINDS))
    return bool(failed)


def _power(seeds: range) -> int:
    missed = 0
    for bug in BUGS:
        found = hunt(bug, seeds)
        if found is None:
            missed += 1
            print(f"{bug}: NOT FOUND in {len(seeds)} seeds")
        else:
            print(f"{bug}: seed {found.seed}: {found.broken[0]}")
    return missed


def _tell(outcome: Outcome) -> None:
    for at, who, what in outcome.trace:
        print(f"{at:10.3f}  {who:14}", *what)
    for broken in outcome.broken:
        print(f"seed {outcome.seed}: {broken}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Simulate the whole of Headway, with faults.")
    parser.add_argument("--seeds", type=_range, default=range(200), metavar="A:B")
    parser.add_argument("--mode", choices=("safety", "liveness"), default="safety")
    parser.add_argument("--trace", type=int, metavar="SEED")
    parser.add_argument("--power", action="store_true", help="plant bugs and look for them")
    return parser.parse_args()


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


if __name__ == "__main__":
    sys.exit(main())
