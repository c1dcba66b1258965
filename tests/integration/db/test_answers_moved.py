"""Answers that stood in a column of their run get rows of their own when the database is migrated."""

import json

import pytest
from alembic import command

from headway_control_plane.db import migrate as migrations
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres

_BEFORE = """
INSERT INTO headway.run (ws, run, version, shard, status, reason, fence, deployment, pool, flow, name, tags, environment, entrypoint, code_hash, parameters,
    priority, retries, retry_delay_ms, on_lost, cancel_grace_ms, kill_grace_ms, attempts_failed, deaths, created_at, due_at, ended_at, error_class,
    error_text, result_digest, answers)
  SELECT (SELECT min(ws) FROM headway.workspace), md5(status)::uuid, 3, 1, status, '', 1, md5('d')::uuid, md5('p')::uuid, 'f', 'r', '{}', 'e', 'm:f', '', '',
    3, 0, 0, 'retry', 0, 0, 0, 0, now(), now(), CASE WHEN status = 'completed' THEN now() END, '', '', '', answers
  FROM unnest(%s::text[], %s::bytea[]) AS r (status, answers)
"""


def test_what_was_answered_before_is_still_answered(empty_database: ScratchDatabase) -> None:
    """The owner of the tables moves it, who is held to their policies like everybody, and sees no row by them."""
    given = {
        "paused": [[f"{n:032x}", f"{n:064x}"] for n in range(300)],
        "running": [["ab" * 16, "cd" * 32]],
        "scheduled": [],
        "completed": [],
    }
    columns = [json.dumps(each).encode() if each else b"" for each in given.values()]
    with migrations._connect(empty_database.url) as connection:
        command.upgrade(migrations._config(connection), "0016")
    with empty_database.connect() as connection:
        connection.execute(
            "INSERT INTO headway.workspace (id, name, shard) VALUES (gen_random_uuid(), 'w', 1)"
        )
        connection.execute(_BEFORE, [list(given), columns])

    migrations.migrate(empty_database.url)

    with empty_database.connect() as connection:
        found = connection.execute(
            "SELECT r.status, encode(a.call, 'hex'), encode(a.digest, 'hex') "
            "FROM headway.run_answer a JOIN headway.run r ON r.ws = a.ws AND r.run = a.run ORDER BY 1, 2"
        ).fetchall()
        guarded = connection.execute(
            "SELECT relname FROM pg_class WHERE relname IN ('run', 'run_answer') AND relrowsecurity AND relforcerowsecurity ORDER BY 1"
        ).fetchall()
    assert found == [(status, *one) for status in ("paused", "running") for one in given[status]]
    assert guarded == [("run",), ("run_answer",)]
