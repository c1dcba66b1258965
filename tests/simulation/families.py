"""Runs that runs ask for, in the modelled database: the statements of the service that makes them, and the deployments that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from headway_control_plane.application.catalogue import DeployedFlow, NamedPool
from headway_control_plane.domain.run.asked import BY_DIGEST
from headway_control_plane.domain.run.state import TERMINAL, RunState
from headway_control_plane.domain.streams import StreamKind
from simulation.database import ChildRow, Database, Workspace

_LISTENS_NOT = ("scheduled", "pending", "running")
_CANCELLED = ("cancelling", "cancelled")
Row = tuple[Any, ...]
Rows = list[Row]


class ChildStatements:
    """Of children.sql; parameters as in the SQL, rows as in its SELECT list."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def _all(self) -> Iterable[Workspace]:
        return self._db.workspaces.values()

    def _of_shards(self, p: dict[str, Any]) -> list[Workspace]:
        return [row for row in self._all() if row.shard in p["shards"]]

    def unsettled(self, p: dict[str, Any]) -> Rows:
        """The oldest of each shard in turn."""
        by_shard: dict[int, list[Row]] = {}
        for row in self._of_shards(p):
            by_shard.setdefault(row.shard, []).extend(
                (child.values["requested_at"], row.ws, *key, child.values["run"])
                for key, child in self._open(row, p)
                if not child.refused
            )
        placed = [
            (place, found[0], found[1:])
            for some in by_shard.values()
            for place, found in enumerate(sorted(some)[: p["most"]])
        ]
        return [found for _, _, found in sorted(placed)[: p["most"]]]

    def unheard(self, p: dict[str, Any]) -> Rows:
        found = [
            (row.ws, *key, child.values["run"])
            for row in self._of_shards(p)
            for key, child in self._open(row, p)
            if child.refused
            and child.values["run"] > p["after"]
            and _run(row, key[0]).status not in _LISTENS_NOT
        ]
        return sorted(found, key=lambda each: each[3])[: p["most"]]

    def asked(self, p: dict[str, Any]) -> Rows:
        """Of asked_runs.sql: no run here is made from another, so its line is the run alone."""
        row = self._db.workspaces[p["ws"]]
        asked = [(key[1], child) for key, child in row.children.items() if key[0] == p["run"]]
        if asked:
            self._db.world.happens("parent moved")
        is_cancelled = _run(row, p["run"]).status in _CANCELLED
        found = [_asked_row(row, p["run"], *each, is_cancelled=is_cancelled) for each in asked]
        return sorted(found, key=lambda each: (each[5], each[2]))[: p["most"]]

    def _open(self, row: Workspace, p: dict[str, Any]) -> list[tuple[tuple[UUID, bytes], ChildRow]]:
        return [
            (key, child)
            for key, child in row.children.items()
            if not child.settled and child.values["run"] not in p["aside"]
        ]

    def wanted(self, p: dict[str, Any]) -> Rows:
        row = self._db.workspaces[p["ws"]]
        keys = zip(p["parents"], p["calls"], strict=True)
        return [
            _wanted(row, key, row.children[key]) for key in keys if not row.children[key].settled
        ]

    def settle(self, p: dict[str, Any]) -> Rows:
        columns = (
            p[name] for name in ("workspaces", "parents", "calls", "settled", "refused", "fences")
        )
        for ws, parent, call, settled, refused, fence in zip(*columns, strict=True):
            child = self._db.workspaces[ws].children[parent, call]
            is_current = _run(self._db.workspaces[ws], parent).fence == fence
            if not child.settled and (is_current or not (settled and refused)):
                child.settled, child.refused = settled, refused
                self._db.world.happens("child refused" if refused else "child settled")
        return []

    def abandoned(self, p: dict[str, Any]) -> Rows:
        found = [
            (row.ws, child.run)
            for row in self._of_shards(p)
            for child in row.of(StreamKind.RUN)
            if child.parent_run is not None
            and child.status not in TERMINAL
            and child.status != "cancelling"
            and child.run not in p["aside"]
            and _is_abandoned(row, child)
        ]
        if found:
            self._db.world.happens("child abandoned")
        return found[: p["most"]]


def _run(row: Workspace, run: UUID) -> RunState:
    found = row.run(run)
    assert found is not None, "a run that asks is there"
    return found


def _asked_row(
    row: Workspace, parent: UUID, call: bytes, child: ChildRow, *, is_cancelled: bool
) -> Row:
    values, made = child.values, row.run(child.values["run"])
    attempt = None if made is None else row.attempt(made.run, made.fence)
    return (
        parent,
        call,
        values["run"],
        values["deployment"],
        values["parameters"],
        values["requested_at"],
        child.refused,
        values["waited"] and not values["outlives"] and is_cancelled,
        "" if made is None else made.status.value,
        None if attempt is None else attempt.agent,
    )


def _is_abandoned(row: Workspace, child: RunState) -> bool:
    asked = row.children.get((child.parent_run, child.parent_call))
    if asked is None or not asked.values["waited"] or asked.values["outlives"]:
        return False
    return _run(row, child.parent_run).status in _CANCELLED


def _wanted(row: Workspace, key: tuple[UUID, bytes], child: ChildRow) -> Row:
    parent, values = _run(row, key[0]), child.values
    waits = {wait.call for wait in parent.waits}
    before = [
        (*other, asked.refused)
        for other, asked in row.children.items()
        if other[0] == key[0] and other != key and asked.values["run"] == values["run"]
    ]
    return (
        *key,
        values["run"],
        _name(row, values["deployment"]),
        values["has_parameters"],
        row.contents.get(values["parameters"]),
        row.contents.get(values["labels"]),
        values["due_at"],
        values["waited"],
        values["outlives"],
        parent.priority,
        parent.status.value,
        _depth(row, parent),
        parent.status == "paused" and key[1] in waits,
        row.run(values["run"]) is not None,
        parent.fence,
        *(zip(*before, strict=True) if before else ((), (), ())),
    )


def _depth(row: Workspace, run: RunState) -> int:
    return 1 if run.parent_run is None else 1 + _depth(row, _run(row, run.parent_run))


def _name(row: Workspace, said: str) -> str:
    """A name that the pool withholds is found by its digest."""
    if not said.startswith(BY_DIGEST):
        return said
    names = [state.spec.name for state in row.of(StreamKind.DEPLOYMENT)]
    digests = {BY_DIGEST + hashlib.sha256(name.encode()).hexdigest(): name for name in names}
    return digests.get(said, "")


class Catalog:
    """Implements the catalogue's port over the modelled rows."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def deployment(
        self, ws: int, id_or_name: str, *, remembered: bool = False
    ) -> DeployedFlow | None:
        def find() -> DeployedFlow | None:
            row = self._db.workspaces[ws]
            for state in row.of(StreamKind.DEPLOYMENT):
                if state.spec.name == id_or_name:
                    return DeployedFlow(
                        state.deployment, state.version, id_or_name, "p", b"{}", b"{}"
                    )
            return None

        return await self._db.call(find)

    async def pool(self, ws: int, id_or_name: str) -> NamedPool | None:
        raise AssertionError("nobody looks pools up here")
