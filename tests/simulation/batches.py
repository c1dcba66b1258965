"""Seeds in processes of their own, a few at a time: what a world leaves behind goes with its process."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import sys
import time
import warnings
from collections.abc import Generator, Iterable
from contextlib import nullcontext
from typing import Literal

from simulation.power import BUGS
from simulation.scenario import Outcome, simulate

Mode = Literal["safety", "liveness"]
Job = tuple[list[int], Mode, str, int]
SEEDS_A_PROCESS = 8


def simulate_all(
    seeds: Iterable[int], mode: Mode, *, workers: int = 1, bug: str = ""
) -> Generator[Outcome, None, None]:
    """The outcomes of all seeds, in order. `bug`: planted before (see `power`)."""
    named = list(seeds)
    jobs: list[Job] = [
        (named[n : n + SEEDS_A_PROCESS], mode, bug, 100)
        for n in range(0, len(named), SEEDS_A_PROCESS)
    ]
    with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        for outcomes in pool.imap(_work, jobs):
            yield from outcomes


def trace(seed: int, mode: Mode) -> Outcome:
    """One seed with its whole story."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_work, (([seed], mode, "", 0),))[0]


def _work(job: Job) -> list[Outcome]:
    seeds, mode, bug, keep = job
    logging.disable(logging.CRITICAL)
    # Coroutines of a world that ended complain about it; collecting garbage would make them run at odd moments.
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    gc.disable()
    outcomes = []
    with BUGS[bug]() if bug else nullcontext():
        for seed in seeds:
            begun = time.process_time()
            outcome = simulate(seed, liveness=mode == "liveness", keep=keep)
            outcome.cpu_seconds = time.process_time() - begun
            if not outcome.broken and keep:
                outcome.trace.clear()
            outcomes.append(outcome)
    return outcomes
