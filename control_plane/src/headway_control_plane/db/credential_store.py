"""Credentials in PostgreSQL, read and written in the role `auth`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from headway_control_plane.application.credentials import ApiKey, EnrolmentToken
from headway_control_plane.application.ports import Workspace
from headway_control_plane.db.pool import Database, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role

SQL = load_queries("headway_control_plane.db", "credentials.sql")


class CredentialStore:
    """The port `Credentials`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def workspace(self, ws: int) -> Workspace | None:
        rows = await self._run("workspace", ws=ws)
        return Workspace(*rows[0]) if rows else None

    async def add_api_key(self, key: ApiKey) -> None:
        await self._run(
            "add_api_key",
            id=key.id,
            ws=key.ws,
            secret_hash=key.secret_hash,
            name=key.name,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )

    async def api_key(self, key_id: str) -> ApiKey | None:
        rows = await self._run("api_key", id=key_id)
        return ApiKey(*rows[0]) if rows else None

    async def api_keys(self, ws: int) -> list[ApiKey]:
        return [ApiKey(*row) for row in await self._run("api_keys", ws=ws)]

    async def revoke_api_key(self, ws: int, key_id: str, now: datetime) -> bool:
        return bool(await self._run("revoke_api_key", ws=ws, id=key_id, now=now))

    async def add_enrolment_token(self, token: EnrolmentToken) -> None:
        await self._run(
            "add_enrolment_token",
            id=token.id,
            ws=token.ws,
            secret_hash=token.secret_hash,
            pool=token.pool,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )

    async def enrolment_token(self, token_id: str) -> EnrolmentToken | None:
        rows = await self._run("enrolment_token", id=token_id)
        return EnrolmentToken(*rows[0]) if rows else None

    async def claim_enrolment_token(self, token_id: str, agent: UUID, now: datetime) -> bool:
        return bool(await self._run("claim_enrolment_token", id=token_id, agent=agent, now=now))

    async def return_enrolment_token(self, token_id: str, agent: UUID) -> None:
        await self._run("return_enrolment_token", id=token_id, agent=agent)

    async def _run(self, name: str, /, **values: Any) -> list[Row]:
        async with self._database.statements(Role.AUTH) as connection:
            cursor = await connection.execute(SQL[name], values)
            return await cursor.fetchall() if cursor.description else []
