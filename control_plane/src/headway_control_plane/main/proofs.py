"""What `headway log verify` and `headway doctor` prove, workspace by workspace, as the auditor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headway_control_plane.application.ports import Cursor, Witness
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.log.invariants import Violation, check
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.verify import Verified, verify
from headway_control_plane.main.stores import make_policy, open_database
from headway_control_plane.settings import BadSetting, Settings

_ROLES = (Role.AUDITOR, Role.AUTH)


@dataclass(frozen=True, slots=True)
class LogProof:
    """One workspace's log, proved or not."""

    workspace: str
    verified: Verified

    def __str__(self) -> str:
        head = self.verified.head
        if self.verified.fault is None:
            return f"{self.workspace}: {self.verified.events:,} events verified, head {head.cursor} {head.chain.hex()}"
        return f"{self.workspace}: NOT as it was written at offset {self.verified.fault.offset}: {self.verified.fault.what}"

    def as_json(self) -> dict[str, Any]:
        fault = self.verified.fault
        return {
            "workspace": self.workspace,
            "ok": self.verified.ok,
            "events": self.verified.events,
            "head": str(self.verified.head.cursor),
            "chain": self.verified.head.chain.hex(),
            "fault": None if fault is None else {"offset": fault.offset, "what": fault.what},
        }


async def verify_logs(
    settings: Settings, workspace: str | None, witness: str | None
) -> list[LogProof]:
    """Verify the log of each workspace, or of the named one."""
    remembered = None if witness is None else parse_witness(witness)
    async with _audit(settings) as (database, reader, workspaces):
        del database
        return [
            LogProof(name, await verify(reader, ws, id_, witness=remembered))
            for ws, id_, name in workspaces
            if workspace in (None, name)
        ]


async def violations(settings: Settings) -> list[tuple[str, list[Violation]]]:
    """Check every invariant in every workspace; one entry a workspace."""
    async with _audit(settings) as (database, reader, workspaces):
        policy = make_policy(settings)
        return [
            (name, await check(database, reader, ws, id_, policy=policy))
            for ws, id_, name in workspaces
        ]


def parse_witness(text: str) -> Witness:
    """Read EPOCH:OFFSET:HASH; raises BadSetting."""
    cursor, _, chain = text.rpartition(":")
    try:
        return Witness(Cursor.parse(cursor), bytes.fromhex(chain))
    except ValueError:
        raise BadSetting(
            f"--witness {text!r} is not EPOCH:OFFSET:HASH, for example 1:42:9f86d0…"
        ) from None


@asynccontextmanager
async def _audit(
    settings: Settings,
) -> AsyncIterator[tuple[Database, Reader, list[tuple[int, UUID, str]]]]:
    async with open_database(settings, _ROLES) as database:
        async with database.transaction(Role.AUTH) as connection:
            found = await connection.execute(
                "SELECT ws, id, name FROM headway.workspace ORDER BY ws"
            )
            rows = [(int(ws), id_, str(name)) for ws, id_, name in await found.fetchall()]
        yield database, Reader(database, role=Role.AUDITOR), rows
