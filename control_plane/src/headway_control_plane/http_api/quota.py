"""How much one caller may have under way at once, so that whoever asks a hundred times too much waits in a queue of his own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

REFUSED_AFTER = 1.0
"""Seconds until a refusal is answered: one that came at once would be asked for again at once, and that is load too."""
RETRY_AFTER = 1


class OverQuota(Exception):
    """The caller has as much under way as he may."""


class Quota:
    """Counts the requests under way by credential. What is not under way costs nothing."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[bytes] = Counter()

    @contextmanager
    def place(self, credential: str) -> Iterator[None]:
        """Hold a place while a request is under way. Raises OverQuota."""
        caller = sha256(credential.encode(errors="replace")).digest()
        if self._under_way[caller] >= self._most:
            raise OverQuota
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]


async def pause() -> None:
    """Wait as long as a refusal does."""
    await asyncio.sleep(REFUSED_AFTER)
