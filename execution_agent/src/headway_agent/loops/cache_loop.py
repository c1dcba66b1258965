"""Answers flows that look for a result in the cache that agents share, and `headway cache`: over a socket, one question a connection.

A question is a line of JSON, an answer a line of JSON and what it announces; see proto/headway_api/ipc/v1/README.md.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from headway_agent.core.backoff import Backoff, Policy, delay
from headway_agent.loops.threads import in_thread
from headway_agent.spool.shared_cache import Entry, SharedCache, is_key
from headway_agent.spool.value_store import StoreFault, ValueAbsent

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""How long the store may take to say whether it has an entry: a flow waits for it."""
BRING_S = 60.0
"""How long it may take to give a large value."""
MOST_AT_ONCE = 8
MOST_OPEN = 512
"""Connections: whoever opens thousands takes none of the agent's files, and has no answer."""
_ASK_S = 10.0
_LINE_MAX = 1 << 16
_WAITING = 1_000
"""Connections that wait for the agent to take them: calls of a wide map ask at one moment."""

Answer = dict[str, Any]


class CacheLoop:
    """`socket` is where it listens, `link` a file that names it, `runs` the directory of all attempts."""

    def __init__(
        self,
        shared: SharedCache,
        socket: Path,
        link: Path,
        runs: Path,
        monotonic: Callable[[], float],
        fraction: Callable[[], float],
        policy: Policy = Policy(first=2.0, cap=30.0),  # noqa: B008 - it cannot be changed
        look_s: float = LOOK_S,
        *,
        pool: str = "",
    ) -> None:
        self._shared = shared
        self._socket = socket
        self._link = link
        self._runs = runs
        self._monotonic = monotonic
        self._fraction = fraction
        self._policy = policy
        self._look_s = look_s
        self._pool = pool
        self._open = 0
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._failed = Backoff()
        self._away_until = 0.0
        self._away_why = ""

    async def run(self) -> None:
        """Listens until it is cancelled. The caller holds the lock of the state directory, so an old socket is a dead one's."""
        self._socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(
            self._serve, self._socket, limit=_LINE_MAX, backlog=_WAITING
        )
        self._link.write_text(str(self._socket))
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._link.unlink(missing_ok=True)
            self._socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        # One who asks and goes away, or asks nonsense, is nobody's trouble but its own.
        with contextlib.suppress(OSError, ValueError, RecursionError, asyncio.LimitOverrunError):
            try:
                if self._open > MOST_OPEN:
                    await _say(writer, {"reason": "the agent is asked too much at once"})
                    return
                async with asyncio.timeout(_ASK_S):
                    ask = json.loads(await reader.readline())
                await self._answer(ask, writer)
            finally:
                self._open -= 1
                writer.close()

    async def _answer(self, ask: object, writer: asyncio.StreamWriter) -> None:
        if not isinstance(ask, dict):
            await _say(writer, {"reason": "a question is an object"})
        elif ask.get("type") == "cache.find" and is_key(ask.get("key")):
            await self._find(ask, writer)
        elif ask.get("type") == "cache.pool":
            await _say(writer, {"reason": "", "pool": self._pool})
        elif ask.get("type") == "cache.clear" and not _says_what(ask):
            await _say(writer, {"reason": "say what to clear: task, key or all"})
        elif ask.get("type") in ("cache.list", "cache.clear"):
            work = _listed if ask["type"] == "cache.list" else _cleared
            try:
                answer = await in_thread(partial(work, self._shared, ask))
            except StoreFault as error:
                answer = {"reason": str(error)}
            await _say(writer, answer)
        else:
            await _say(writer, {"reason": "this agent does not know the question: upgrade it"})

    async def _find(self, ask: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        results = self._results_of(ask)
        async with self._places:
            # Asked behind the others: of those that wait for a place while the store hangs, none waits for it again.
            if self._monotonic() < self._away_until:
                await _say(writer, {"reason": self._away_why})
                return
            try:
                async with asyncio.timeout(self._look_s):
                    raw, entry = await in_thread(partial(self._shared.find, str(ask["key"])))
                self._note(None)
                await _say(writer, {"reason": "", "size": len(raw)}, raw)
                if results is not None:
                    async with asyncio.timeout(BRING_S):
                        await in_thread(partial(self._shared.bring, entry, results))
                answer = {"reason": ""}
            except ValueAbsent as error:
                answer = {"reason": str(error)}
            except TimeoutError:
                answer = {"reason": "the store took too long"}
                self._note(answer["reason"])
            except (StoreFault, OSError) as error:
                answer = {"reason": f"the store cannot be asked: {error}"}
                self._note(answer["reason"])
        await _say(writer, answer)

    def _note(self, fault: str | None) -> None:
        """While the store is away nobody waits for it: each pause ends with one more try."""
        if fault is None:
            if self._failed.failures:
                log.info("the cache in %s answers again", self._shared.store.url)
            self._failed = Backoff()
            return
        if not self._failed.failures:
            log.warning("the cache that agents share is not asked for now: %s", fault)
        self._failed = Backoff(self._failed.failures + 1)
        pause = max(1.0, delay(self._failed, self._policy, self._fraction()))
        self._away_until, self._away_why = self._monotonic() + pause, fault

    def _results_of(self, ask: Mapping[str, Any]) -> Path | None:
        """Where the value goes: into the directory of an attempt of this agent. Raises ValueError."""
        if "run" not in ask:
            return None
        run_dir = self._runs / str(UUID(str(ask["run"]))) / str(int(str(ask.get("fence"))))
        if not run_dir.is_dir():
            raise ValueError("no attempt of this agent")
        return run_dir / "results"


async def _say(writer: asyncio.StreamWriter, answer: Answer, more: bytes = b"") -> None:
    writer.write(json.dumps(answer).encode() + b"\n" + more)
    await writer.drain()


def _says_what(ask: Mapping[str, Any]) -> bool:
    return ask.get("all") is True or any(isinstance(ask.get(n), str) for n in ("task", "key"))


def _listed(shared: SharedCache, ask: Mapping[str, Any]) -> Answer:
    return {"reason": "", "entries": [_shown(entry) for entry in _chosen(shared, ask)]}


def _cleared(shared: SharedCache, ask: Mapping[str, Any]) -> Answer:
    if ask.get("all") is True:
        return {"reason": "", "deleted": shared.clear()}
    keys = [str(entry["key"]) for entry in _chosen(shared, ask)]
    for key in keys:
        shared.delete(key)
    return {"reason": "", "deleted": len(keys)}


def _chosen(shared: SharedCache, ask: Mapping[str, Any]) -> Iterator[Entry]:
    """Those of a task (by its name, or as module:name), or under keys that begin so; all where neither is asked for."""
    task, key = ask.get("task"), ask.get("key")
    for entry in shared.entries():
        if task is not None and task not in (entry.get("name"), entry.get("task")):
            continue
        if key is None or str(entry["key"]).startswith(str(key)):
            yield entry


def _shown(entry: Entry) -> Answer:
    """Without the value."""
    result = {name: entry["result"][name] for name in ("codec", "size", "digest")}
    return {**entry, "result": result}
