"""Takes values to the store of the pool's, one after the other, and gets what flows want of it. Nobody waits for it: a store that is away keeps files here."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from headway_agent.core.backoff import Backoff, Policy, delay
from headway_agent.loops.threads import in_thread
from headway_agent.loops.waiting import wait_for
from headway_agent.spool import kept_values, run_results
from headway_agent.spool.shared_cache import SharedCache
from headway_agent.spool.value_store import StoreFault, ValueStore

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""How often attempts under way are looked at: values are files before they are told of."""
SOON_S = 0.05
"""The same while a flow gets values, one after the other."""
MOST_FAULTS = 3
"""After so many in a row it is the store's fault, and not that of one value."""


class StoreLoop:
    """`started` gives the directories of attempts that began, or were found, since it was last asked."""

    def __init__(
        self,
        store: ValueStore,
        started: Callable[[], set[Path]],
        fraction: Callable[[], float],
        policy: Policy = Policy(first=2.0, cap=60.0),  # noqa: B008 - it cannot be changed
        shared: SharedCache | None = None,
    ) -> None:
        self._store = store
        self._shared = shared
        self._started = started
        self._fraction = fraction
        self._policy = policy
        # Those that may have values still to go; a dict keeps their order.
        self._watched: dict[Path, None] = {}
        self._failed = Backoff()
        self._pause = EVERY_S
        self.wake = asyncio.Event()

    async def run(self) -> None:
        while True:
            self._pause = EVERY_S
            if not await self.round():
                self._pause = max(EVERY_S, delay(self._failed, self._policy, self._fraction()))
            await wait_for(self.wake, self._pause)
            self.wake.clear()

    async def round(self) -> bool:
        """Takes what there is; whether the store took all of it."""
        self._watched.update(dict.fromkeys(self._started()))
        fault: Exception | None = None
        in_row = 0
        for run_dir in list(self._watched):
            try:
                served = await in_thread(partial(serve, self._store, run_dir, self._shared))
            except Exception as error:  # noqa: BLE001 - this loop's end would be the agent's, over one attempt's files
                fault = error
                in_row += 1
                # To the end: one value that is refused must not keep back all others.
                del self._watched[run_dir]
                self._watched[run_dir] = None
                if in_row >= MOST_FAULTS:
                    break
                continue
            in_row = 0
            if served.is_over:
                del self._watched[run_dir]
            if served.is_waited_for:
                self._pause = SOON_S
        self._note(fault)
        return fault is None

    def _note(self, fault: Exception | None) -> None:
        failures = self._failed.failures
        if fault is not None:
            if not failures:
                foreseen = isinstance(fault, (StoreFault, OSError))
                log.warning(
                    "results stay on this disk for now, and are tried again: %s",
                    fault,
                    exc_info=None if foreseen else fault,
                )
            self._failed = Backoff(failures + 1)
        elif failures:
            log.info("results go to %s again", self._store.url)
            self._failed = Backoff()


class Served(NamedTuple):
    """`is_over`: the store has all that there will ever be. `is_waited_for`: a flow got a value, and may want the next."""

    is_over: bool
    is_waited_for: bool = False


def serve(store: ValueStore, run_dir: Path, shared: SharedCache | None = None) -> Served:
    """Gets what an attempt's flow wants, and sends what it has now. Raises StoreFault and OSError."""
    if not run_dir.exists() or kept_values.is_wholly_stored(run_dir):
        return Served(is_over=True)
    got = run_results.fetch_wanted(store, run_dir)
    over = kept_values.over(run_dir)
    for file in kept_values.unstored(run_dir):
        store.put(file.name, file)
        kept_values.stored(file)
    if shared is not None:
        shared.publish(run_dir)
    if over is None:
        return Served(is_over=False, is_waited_for=got)
    if over.returned is not None:
        run_results.tell(store, run_dir, over.returned)
    kept_values.wholly_stored(run_dir)
    return Served(is_over=True)
