"""Who an agent is, is found by its id alone, at the same cost with many workspaces as with one."""

import json
from uuid import UUID

import pytest

from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres

WORKSPACES = 2_000
SEED = """
INSERT INTO workspace (id, name, shard) SELECT gen_random_uuid(), 'w' || n, n %% 1024 FROM generate_series(1, %(count)s) AS n;
"""
AGENTS = """
INSERT INTO agent (ws, agent, version, name, pool, public_key, enrolled_at)
SELECT ws, md5(ws::text)::uuid, 1, 'a', gen_random_uuid(), '', now() FROM workspace
"""


def nodes(plan: dict) -> list[dict]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def test_an_unknown_agent_costs_a_look_into_an_index(database: ScratchDatabase) -> None:
    with database.connect() as connection:
        connection.execute(SEED, {"count": WORKSPACES})
        connection.execute(AGENTS)
        connection.execute("ANALYZE workspace, agent")
    query = load_queries("headway_control_plane.grpc_api", "queries.sql")["find_agent"]
    async with (
        Database(database.url, [Role.AUTH]) as pools,
        pools.statements(Role.AUTH) as connection,
    ):
        found = await connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", {"agent": UUID(int=0)}
        )
        (answer,) = await found.fetchone()
    explained = answer if isinstance(answer, list) else json.loads(answer)
    plan = explained[0]["Plan"]
    assert not [n for n in nodes(plan) if n["Node Type"] == "Seq Scan" and n["Actual Loops"]]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 20
