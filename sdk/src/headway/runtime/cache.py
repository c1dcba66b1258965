"""Results across runs: whether the cache has one for a call, who makes it if not, and what is kept of it.

Whatever is in doubt is a miss: an entry that is damaged, of another format, too old, or of an age that the clock cannot
tell; a value whose codec or class is gone; an argument without a stable digest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from headway import payloads
from headway.context import Call
from headway.definitions import Definition
from headway.futures import worker
from headway.payloads import Payload
from headway.runtime.cache_parts import key_of, parts_of, shared_parts_of
from headway.runtime.cache_scope import NoKey, Whose, task_path
from headway.runtime.cache_store import FOLDER, CacheStore, Entry, Lock
from headway.runtime.results import ResultReader
from headway.runtime.shared_cache import TELLING, Asking, SharedCache

PATIENCE_S = 10.0
"""How long a call waits for another one's result where the two might wait for each other."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25
_FIRST_ASK_S, _LONGEST_ASK_S = 0.002, 0.05
_log = logging.getLogger("headway")
_inline = ResultReader((), "")


class Hit(NamedTuple):
    """A result from the cache."""

    value: Any
    payload: Payload
    file: Path | None
    """Where a large one lies."""


class Cache:
    """The cache of one attempt. Without a store directory every call is a miss."""

    def __init__(
        self,
        store: str,
        run_dir: str | Path,
        whose: Whose,
        run: str,
        clock: Callable[[], int],
        shared: SharedCache | None = None,
    ) -> None:
        self._given_store = store
        self._run_dir = run_dir
        self.whose = whose
        self.run = run
        self.clock = clock
        self.shared = shared
        """With other agents, where these have a store."""
        self.parameters: Mapping[str, Any] = {}
        """Of the run."""
        self.in_worker = False
        """What holds the locks of the calls around is in another process, unseen."""
        self.stuck: set[str] = set()
        """Keys of calls in this process that may need a thread of the pool to come to their end."""
        self._warned: set[str] = set()

    # Paths are made when a call needs them: each costs more than the rest of this object, and most attempts need none.

    @cached_property
    def store(self) -> CacheStore | None:
        return CacheStore(Path(self._given_store) / FOLDER) if self._given_store else None

    @property
    def results(self) -> Path:
        return Path(self._run_dir) / "results"

    def lookup(
        self, call: Call, definition: Definition, arguments: Mapping[str, Any], *, anew: bool
    ) -> Lookup:
        """A call's way to its result; the arguments hold no futures. `anew`: a person, or changed code, wants it made again."""
        lookup = Lookup(self, call, definition)
        if self.store is None:
            lookup.reason = "this agent keeps no cache"
            return lookup
        try:
            lookup.parts = parts_of(definition, arguments, self.whose, self.parameters)
        except NoKey as error:
            lookup.reason = str(error)
            self.warn(f"{definition.name} does not use the cache: {error}")
            return lookup
        lookup.key = key_of(lookup.parts)
        if self.shared is not None:
            self._share(lookup, definition)
        if definition.refresh_cache:
            lookup.refreshing = "refresh_cache is set"
        elif call.step is not None and definition.transaction_hooks:
            lookup.refreshing = "its hooks belong to this transaction, and so does what it does"
        elif anew:
            lookup.refreshing = "it is to be executed again in this run"
        return lookup

    def _share(self, lookup: Lookup, definition: Definition) -> None:
        try:
            lookup.shared_parts = shared_parts_of(definition, lookup.parts, self.whose)
        except NoKey as error:
            lookup.why_alone = str(error)
            self.warn(f"{definition.name} does not share results with other agents: {error}")

    def warn(self, text: str) -> None:
        """Ten thousand calls of one map have one reason."""
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("%s", text)


class Lookup:
    """One call: `step` until it gives None; then there is a `hit`, or the call is to be executed and its result kept.

    `close` in any case.
    """

    def __init__(self, cache: Cache, call: Call, definition: Definition) -> None:
        self.key = ""
        self.shared_parts: Mapping[str, str] = {}
        """Empty: other agents are not asked, nor told."""
        self.why_alone = ""
        """Why not, where they could be."""
        self.parts: Mapping[str, str] = {}
        self.reason = ""
        """Why there is a hit, or none."""
        self.refreshing = ""
        self.hit: Hit | None = None
        self._cache = cache
        self._call = call
        self._target = definition
        self._lock: Lock | None = None
        self._asking: Asking | None = None
        self._pause = 0.0
        self._give_up = float("inf")

    def told(self) -> dict[str, Any]:
        """As the call's end tells it."""
        return {"key": self.key, "reason": self.reason, "parts": dict(self.parts)}

    def step(self) -> float | None:
        """Seconds to wait before the next step, for another call is making this result; None: decided."""
        store = self._cache.store
        if self._asking is not None and store is not None:
            return self._hear(store, self._asking)
        if store is None or not self.key or self.hit is not None or self._find(store):
            return None
        try:
            self._lock = store.try_lock(self.key, self._cache.run)
        except OSError as error:
            self._cache.warn(f"calls with equal keys are not kept from running at once: {error}")
            return None
        if self._lock is not None:
            self._call.held = (*self._call.held, self.key)
            if not self._can_go_on_alone():
                self._cache.stuck.add(self.key)
            # Between the look and the lock somebody may have made it.
            return None if self._find(store) else self._ask(store)
        return self._wait(store)

    def keep(self, result: Mapping[str, Any]) -> None:
        """Puts the result, as recorded in the call's end, into the cache. A full disk is a warning, and no failure."""
        store = self._cache.store
        if store is None or not self.key or result["codec"] == "none":
            return
        if "secrets" in result:
            # Another run, which has looked none of them up, would show them.
            self._cache.warn(f"results of {self._target.name} hold a secret: they are not cached")
            return
        payload = self._cache.results / str(result["file"]) if "file" in result else None
        entry = Entry(
            key=self.key,
            task=task_path(self._target),
            name=self._target.name,
            parts=self.parts,
            made_at_us=self._cache.clock(),
            run=self._cache.run,
            call=self._call.key,
            result=result,
        )
        try:
            store.write(entry, payload)
            # Pickled ones run code where they are read: they stay on the machine that made them.
            shared = self._cache.shared
            if shared is not None and self.shared_parts and result["codec"] != "pickle":
                key = key_of(self.shared_parts)
                # By the digest of one argument alone whoever reads the store could try values out.
                told = {n: d if n in TELLING else "" for n, d in self.shared_parts.items()}
                shared.offer(entry._replace(key=key, parts=told))
        except OSError as error:
            self._cache.warn(f"results of {self._target.name} cannot be put in the cache: {error}")

    def close(self) -> None:
        """The call has ended, or will not begin: others may go on."""
        if self._asking is not None:
            self._asking.close()
            self._asking = None
        if self._lock is not None:
            self._cache.stuck.discard(self.key)
            self._lock.release()
            self._lock = None

    def _find(self, store: CacheStore) -> bool:
        if self.refreshing:
            self.reason = self.refreshing
            return False
        entry = store.read(self.key)
        self.reason = self._why_not(entry)
        if entry is None or self.reason:
            return False
        try:
            self.hit = self._read(entry, store.payload_path(entry))
        except Exception as error:  # noqa: BLE001 - a file or a class is gone, a codec unknown, a text foreign: all are misses
            self.reason = f"the kept value cannot be read: {type(error).__name__}: {error}"
            return False
        store.used(self.key)
        self.reason = f"made by run {entry.run}"
        return True

    def _ask(self, store: CacheStore) -> float | None:
        """Whoever has the lock looks for what another agent made."""
        shared = self._cache.shared
        if shared is None or self.refreshing:
            return None
        if not self.shared_parts:
            self.reason = f"{self.reason}; not shared with other agents: {self.why_alone}"
            return None
        self._asking = shared.ask(key_of(self.shared_parts))
        self._pause = _FIRST_ASK_S
        return self._hear(store, self._asking)

    def _hear(self, store: CacheStore, asking: Asking) -> float | None:
        if not asking.poll():
            pause, self._pause = self._pause, min(self._pause * 1.5, _LONGEST_ASK_S)
            return pause
        self._asking = None
        try:
            entry = asking.entry()
        finally:
            asking.close()
        why = asking.reason if entry is None else self._why_not_shared(entry)
        if entry is not None and not why:
            why = self._adopt(store, entry)
        if why:
            self.reason = f"{self.reason}; shared by other agents: {why}"
        return None

    def _why_not_shared(self, entry: Entry) -> str:
        if entry.result["codec"] == "pickle":
            return "the kept value is pickled"
        return self._why_not(entry)

    def _adopt(self, store: CacheStore, entry: Entry) -> str:
        """Takes another agent's result for this one's; empty, or why it cannot be read."""
        file = self._cache.results / str(entry.result["digest"])
        try:
            self.hit = self._read(entry, file)
        except Exception as error:  # noqa: BLE001 - as of an entry of this agent's: all are misses
            return f"the kept value cannot be read: {type(error).__name__}: {error}"
        self.reason = f"made by run {entry.run} at another agent"
        ours = entry._replace(key=self.key, parts=self.parts)
        try:
            store.write(ours, file if "file" in entry.result else None)
        except OSError as error:
            self._cache.warn(f"results of {self._target.name} cannot be put in the cache: {error}")
        return ""

    def _why_not(self, entry: Entry | None) -> str:
        """Empty where the entry may be used."""
        if entry is None:
            return "nothing is kept under this key"
        if entry.result["codec"] == "pickle" and self._target.result != "pickle":
            return 'the kept value is pickled, and the task has no result="pickle"'
        limit_s = self._target.cache_expires
        if limit_s is None:
            return ""
        age_s = (self._cache.clock() - entry.made_at_us) / 1e6
        if age_s < 0:
            return "by this machine's clock the kept value is not made yet, so nobody knows its age"
        return f"the kept value is {age_s:.0f} s old, and expired" if age_s >= limit_s else ""

    def _read(self, entry: Entry, file: Path) -> Hit:
        """`file`: where a large value lies."""
        result = dict(entry.result)
        if "file" not in result:
            found = _inline(result)
            if found is None:
                raise ValueError("it is not what was written")
            return Hit(payloads.decode(found.payload), found.payload, None)
        payload = Payload(result["codec"], file.read_bytes())
        if payload.digest != result["digest"]:
            raise ValueError("it is not what was written")
        return Hit(payloads.decode(payload), payload, file)

    def _wait(self, store: CacheStore) -> float | None:
        if not self._pause:
            holder = store.holder(self.key) or "another call"
            _log.info("%s waits for its result, which run %s is making", self._call.name, holder)
            if self._may_be_waited_for():
                self._give_up = monotonic() + PATIENCE_S
        elif monotonic() >= self._give_up:
            self.reason = "another call was making the result for too long"
            return None
        self._pause = min(max(_FIRST_PAUSE_S, self._pause * 1.5), _LONGEST_PAUSE_S)
        return self._pause

    def _may_be_waited_for(self) -> bool:
        """Whether the call that has the lock may in turn wait for this one: then nobody must wait for ever."""
        in_pool = getattr(worker, "active", False)
        return (
            bool(self._call.held)
            or self._cache.in_worker
            or (in_pool and self.key in self._cache.stuck)
        )

    def _can_go_on_alone(self) -> bool:
        """Sync calls in threads of the pool execute what they wait for themselves."""
        return getattr(worker, "active", False) and not self._target.is_async
