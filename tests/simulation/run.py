"""Simulates: `python -m tests.simulation.run --seeds 0:1000 [--mode safety|liveness] [--coverage] [--trace SEED] [--power]`.

A failing seed is printed with its last steps; `--trace SEED` tells one seed's whole story. `--power` plants bugs and counts the seeds
until each is found; `--coverage` fails when a kind of fault, or a move of the run table, never came about.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.batches import Mode, simulate_all, trace
from simulation.faults import KINDS, RARE
from simulation.power import BUGS
from simulation.scenario import Outcome


def main() -> int:
    options = _options()
    logging.disable(logging.CRITICAL)
    if options.power:
        return _power(options.seeds, options.mode)
    if options.trace is not None:
        _tell(traced := trace(options.trace, options.mode))
        return bool(traced.broken)
    return _simulate(options.seeds, options.mode, options.workers, coverage=options.coverage)


def _simulate(seeds: range, mode: Mode, workers: int, *, coverage: bool) -> int:
    failed, hours, steps, happened = [], 0.0, 0, Counter[str]()
    seconds = 0.0
    for outcome in simulate_all(seeds, mode, workers=workers):
        seconds += outcome.cpu_seconds
        hours, steps = hours + outcome.hours, steps + outcome.steps
        happened.update(outcome.happened)
        if outcome.broken:
            failed.append(outcome.seed)
            _tell(outcome)
    minutes = seconds / 60
    print(f"{len(seeds)} seeds, {len(failed)} failed: {failed}")
    print(
        f"{hours:.0f} simulated hours, {hours / minutes:.0f} a CPU minute; {steps / minutes / 60:.0f} steps a second"
    )
    kinds = (*KINDS, *RARE)
    print("faults and moves: " + ", ".join(f"{kind} {happened[kind]}" for kind in kinds))
    never = [kind for kind in kinds if not happened[kind]]
    print(f"never: {never}", flush=True)
    return bool(failed or (coverage and never))


def _power(seeds: range, mode: Mode) -> int:
    missed = 0
    for bug in BUGS:
        outcomes = simulate_all(seeds, mode, bug=bug)
        found = next((outcome for outcome in outcomes if outcome.broken), None)
        outcomes.close()
        if found is None:
            missed += 1
            print(f"{bug}: NOT FOUND in {len(seeds)} seeds")
        else:
            print(f"{bug}: seed {found.seed}: {found.broken[0]}")
    return missed


def _tell(outcome: Outcome) -> None:
    for at, who, what in outcome.trace:
        print(f"{at:10.3f}  {who:14}", what)
    for broken in outcome.broken:
        print(f"seed {outcome.seed}: {broken}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Simulate the whole of Headway, with faults.")
    parser.add_argument("--seeds", type=_range, default=range(200), metavar="A:B")
    parser.add_argument("--mode", choices=("safety", "liveness"), default="safety")
    parser.add_argument(
        "--coverage", action="store_true", help="fail when a fault or a move never came about"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    parser.add_argument("--trace", type=int, metavar="SEED")
    parser.add_argument("--power", action="store_true", help="plant bugs and look for them")
    return parser.parse_args()


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


if __name__ == "__main__":
    sys.exit(main())
