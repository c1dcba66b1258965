"""What `headway doctor` looks at: the database, who owns the shards, how far the views are, and, with --deep, every invariant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.log.segments import Segments
from headway_control_plane.main.proofs import violations
from headway_control_plane.main.stores import open_database
from headway_control_plane.settings import Settings

# Longer than anything holds a deadline back in order: the brake does for 15 minutes.
OVERDUE_MINUTES = 20
DAYS_AHEAD_MIN = 3  # an insert without a partition is an outage


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in words; `details` say what is wrong and what to do."""

    ok: bool
    words: str
    details: tuple[str, ...] = ()


async def checkup(settings: Settings, *, deep: bool) -> list[Finding]:
    """Look at everything; what cannot be read at all raises DatabaseProblem."""
    async with open_database(settings, (Role.DISPATCHER, Role.MAINTENANCE)) as database:
        findings = [
            await _partitions(database),
            await _ownership(database),
            await _projections(database),
            await _deadlines(database),
        ]
    if deep:
        for workspace, found in await violations(settings):
            words = f"workspace {workspace}: every invariant of its log and its rows"
            findings.append(Finding(not found, words, tuple(map(str, found))))
    return findings


async def _partitions(database: Database) -> Finding:
    days = await Segments(database).days_left()
    advice = (
        ()
        if days >= DAYS_AHEAD_MIN
        else ("Start a control plane: it makes them daily. Or: headway server migrate",)
    )
    return Finding(
        days >= DAYS_AHEAD_MIN, f"the log has partitions for {max(days, 0)} days ahead", advice
    )


async def _ownership(database: Database) -> Finding:
    replicas, orphans = await _row(
        database,
        Role.DISPATCHER,
        """SELECT (SELECT count(*) FROM headway.replica WHERE expires_at > headway.headway_now()),
                  (SELECT count(*) FROM headway.shard s WHERE NOT EXISTS (
                     SELECT FROM headway.replica r WHERE r.id = s.owner AND r.expires_at > headway.headway_now()))""",
    )
    advice = (
        ()
        if orphans == 0
        else ("Nothing is dispatched there until a control plane takes them: headway server start",)
    )
    return Finding(
        orphans == 0,
        f"{replicas} control plane process(es) live, {orphans} of 1024 shards without an owner",
        advice,
    )


async def _projections(database: Database) -> Finding:
    standing, behind = await _row(
        database,
        Role.DISPATCHER,
        """SELECT count(*) FILTER (WHERE failure <> ''), coalesce(max(h."offset" - c."offset"), 0)
           FROM headway.projection_checkpoint c
           JOIN headway.projection_active a ON (a.projection, a.version) = (c.projection, c.version)
           JOIN headway.workspace_head h USING (ws)""",
    )
    advice = (
        ()
        if standing == 0
        else ("See why, and make it anew: headway projections verify; headway projections rebuild",)
    )
    return Finding(
        standing == 0,
        f"projections: {standing} stand still, the furthest is {behind} events behind",
        advice,
    )


async def _deadlines(database: Database) -> Finding:
    """What a running control plane set aside shows here: its deadlines pass and nothing follows."""
    (late,) = await _row(
        database,
        Role.DISPATCHER,
        f"""SELECT count(*) FROM headway.timer
            WHERE due_at < headway.headway_now() - interval '{OVERDUE_MINUTES} minutes'""",  # noqa: S608 - a constant
    )
    advice = (
        ()
        if late == 0
        else (
            "Start a control plane: headway server start. If one runs, its log names what it set aside and why (set aside).",
        )
    )
    return Finding(
        late == 0, f"{late} deadlines passed more than {OVERDUE_MINUTES} minutes ago", advice
    )


async def _row(database: Database, role: Role, statement: str) -> Any:
    async with database.transaction(role) as connection:
        return await (await connection.execute(statement)).fetchone()
