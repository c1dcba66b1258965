"""Runs that a run has asked for and does not get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries

_SQL = load_queries("headway_control_plane.projections", "wishes.sql")
MOST = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call gets no run. `deployment` is empty where the pool withholds names; `problems` are the parameters that do not fit."""

    call: bytes
    deployment: str
    code: str
    message: str
    hint: str
    problems: Sequence[str]

    @property
    def text(self) -> str:
        named = f" of {self.deployment}" if self.deployment else ""
        return f"no run{named}: {_words(self.code, self.message, self.hint, self.problems)}"


async def list_refusals(connection: Connection, ws: int, run: UUID) -> list[Refusal]:
    """The first ones."""
    found = await connection.execute(_SQL["refused"], {"ws": ws, "run": run, "most": MOST})
    return [_refusal(*row) for row in await found.fetchall()]


def reason(code: str, refusal: bytes) -> str:
    """Say why a run was refused, and what to do; nothing of one that was not."""
    told = _read(refusal)
    return _words(code, told.message, told.hint, told.problems) if code else ""


def _words(code: str, message: str, hint: str, problems: Sequence[str]) -> str:
    wrong = f" ({', '.join(problems)})" if problems else ""
    return f"{message or code.replace('_', ' ')}{wrong} {hint}".strip()


def _refusal(call: bytes, deployment: str, code: str, refusal: bytes) -> Refusal:
    return Refusal(bytes(call), deployment, code, *_read(refusal))


class _Told(NamedTuple):
    message: str
    hint: str
    problems: Sequence[str]


def _read(refusal: bytes) -> _Told:
    """Wishes that were refused before the reasons were kept have the code alone."""
    told = read_foreign(bytes(refusal)) if refusal else {}
    return _Told(told.get("message", ""), told.get("hint", ""), told.get("problems", ()))
