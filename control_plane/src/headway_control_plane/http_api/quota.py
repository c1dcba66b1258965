"""How much one workspace may have under way at once, so that whoever asks a hundred times too much waits in a queue of his own."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

REFUSED_AFTER = 1.0
"""Seconds until a refusal is answered, on average: one that came at once would be asked for again at once, and that is load too."""
RETRY_AFTER = 1
_KEYS_KNOWN = 10_000
_GOLDEN = 0.6180339887


class OverQuota(Exception):
    """The caller has as much under way as he may."""


@dataclass(slots=True)
class _Line:
    """One caller's requests: those at work hold the semaphore, the others wait for it in order."""

    at_work: asyncio.Semaphore
    under_way: int = 0


class Quota:
    """Counts the requests under way by workspace. What is not under way costs nothing.

    Of `most` under way only `at_once` are at work: so few that database connections and time of the process are left for
    everybody else. A key is counted alone until a first request has shown whose it is: it costs nothing to make one up.
    """

    def __init__(self, most: int, at_once: int) -> None:
        self._most = most
        self._at_once = at_once
        self._refused = 0
        self._lines: dict[bytes | int, _Line] = {}
        self._workspaces: OrderedDict[bytes, int] = OrderedDict()

    @asynccontextmanager
    async def place(self, credential: str) -> AsyncIterator[None]:
        """Hold a place while a request is under way; enter when it is its turn. Raises OverQuota."""
        digest = _digest(credential)
        caller = self._workspaces.get(digest, digest)
        line = self._lines.get(caller) or _Line(asyncio.Semaphore(self._at_once))
        if line.under_way >= self._most:
            raise OverQuota
        self._lines[caller] = line
        line.under_way += 1
        try:
            async with line.at_work:
                yield
        finally:
            line.under_way -= 1
            if not line.under_way:
                del self._lines[caller]

    async def pause(self) -> None:
        """Wait as long as a refusal does. They are spread: hundreds that came together must not be answered together."""
        self._refused += 1
        await asyncio.sleep(REFUSED_AFTER * (0.5 + self._refused * _GOLDEN % 1))

    def learn(self, credential: str, ws: int | None) -> None:
        """Note whose key it is; None for a key that was refused, which counts for nobody any more."""
        digest = _digest(credential)
        self._workspaces.pop(digest, None)
        if ws is not None:
            self._workspaces[digest] = ws
            if len(self._workspaces) > _KEYS_KNOWN:
                self._workspaces.popitem(last=False)


def _digest(credential: str) -> bytes:
    return sha256(credential.encode(errors="replace")).digest()
