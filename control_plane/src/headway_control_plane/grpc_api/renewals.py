"""Renews the leases of all sessions of the process together: one UPDATE for all that ask within a short window."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from headway_control_plane.grpc_api.registry import SessionKey
from headway_control_plane.grpc_api.store import Lease, SessionStore


class Renewals:
    """Callers that come while a window is open or a statement runs are answered together."""

    def __init__(self, store: SessionStore, *, ttl: timedelta, window: timedelta) -> None:
        self._store = store
        self._ttl = ttl
        self._window = window.total_seconds()
        self._waiting: dict[SessionKey, list[asyncio.Future[Lease | None]]] = {}
        self._round: asyncio.Task[None] | None = None

    async def renew(self, key: SessionKey) -> Lease | None:
        """Extend a lease; None when there is no such session or it was closed."""
        answer: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._run(), name="renewals")
        return await answer

    async def close(self) -> None:
        """Wait for the round that is under way."""
        if self._round is not None:
            await asyncio.wait((self._round,))

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._window)
            asked, self._waiting = self._waiting, {}
            try:
                leases = await self._store.renew(asked, self._ttl)
            except Exception as problem:  # noqa: BLE001 - every asker gets it and judges for itself
                _fail(asked, problem)
                continue
            for key, answers in asked.items():
                for answer in answers:
                    if not answer.done():
                        answer.set_result(leases.get(key))


def _fail(asked: dict[SessionKey, list[asyncio.Future[Lease | None]]], problem: Exception) -> None:
    for answers in asked.values():
        for answer in answers:
            if not answer.done():
                answer.set_exception(problem)
