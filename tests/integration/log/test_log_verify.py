"""Tampering is found, and the first bad offset is named."""

import pytest

from headway_control_plane.application.ports import Cursor, Witness
from headway_control_plane.log.invariants import check
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.verify import verify
from support.log_fixtures import calls, exited, started

pytestmark = pytest.mark.postgres


@pytest.fixture
async def filled(fleet):
    fleet.run = await fleet.granted_run()
    await fleet.report(fleet.run, 1, 1, [started(), *calls(1, 3), exited()])
    return fleet


async def verified(fleet, **options):
    return await verify(Reader(fleet.log.database), fleet.ws, fleet.workspace.id, **options)


async def test_an_untouched_log_is_proved_to_its_end(filled):
    result = await verified(filled)
    assert result.ok
    assert result.events == result.head.cursor.offset


@pytest.mark.parametrize(
    "change",
    [
        "payload = payload || 'x'::bytea",
        "type = 'CallRetrying'",
        "actor = 'somebody'",
        "causation = '01a2044d-0000-7000-8000-000000000000'",
        "traceparent = '00-1'",
        "event_id = '01a2044d-0000-7000-8000-000000000000'",
        "schema_version = 2",
        "occurred_at = occurred_at + interval '1 us'",
        "recorded_at = recorded_at + interval '1 us'",
        "fence = 2",
        "version = 50",
        "epoch = 2",
        "stream_id = '01a2044d-0000-7000-8000-000000000000'",
        "chain = sha256(chain)",
    ],
)
async def test_a_changed_event_is_named(filled, database, change):
    with database.connect() as connection:
        connection.execute(f'UPDATE event SET {change} WHERE "offset" = 9')
    result = await verified(filled)
    assert result.fault is not None
    assert result.fault.offset == 9


async def test_a_removed_event_is_named(filled, database):
    with database.connect() as connection:
        connection.execute('DELETE FROM event WHERE "offset" = 9')
    fault = (await verified(filled)).fault
    assert "offset 9 is missing" in fault.what


async def test_a_log_cut_off_at_its_end_is_named(filled, database):
    with database.connect() as connection:
        connection.execute('DELETE FROM event WHERE "offset" > 9')
    assert (await verified(filled)).fault.offset == 10


async def test_a_rewritten_history_contradicts_the_witness(filled, database):
    """An operator who rewrites the log and its whole chain still contradicts what the customer's agent remembers."""
    head = await Reader(filled.log.database).head(filled.ws)
    kept = Witness(head.cursor, head.chain)
    assert (await verified(filled, witness=kept)).ok
    forged = await verified(filled, witness=Witness(head.cursor, b"\0" * 32))
    assert forged.fault.offset == head.cursor.offset
    ahead = Witness(Cursor(1, head.cursor.offset + 5), b"\0" * 32)
    assert not (await verified(filled, witness=ahead)).ok


DAMAGE = {
    1: 'DELETE FROM event WHERE "offset" = 9',
    2: "UPDATE attempt SET last_seq = last_seq + 1",
    3: "UPDATE event SET version = 2 WHERE stream_kind = 7 AND version = 1",
    4: "UPDATE event SET version = version + 10 WHERE stream_kind = 7",
    5: "UPDATE run SET status = 'failed'",
    6: "UPDATE event SET fence = 2 WHERE stream_kind = 7",
    8: "INSERT INTO slot SELECT ws, pool, run, fence FROM run",
    10: "UPDATE event SET actor = 'x' WHERE \"offset\" = 3",
}


@pytest.mark.parametrize("number", DAMAGE)
async def test_each_invariant_notices_its_damage(filled, log, database, number):
    reader = Reader(log.database)
    arguments = (log.database, reader, filled.ws, filled.workspace.id)
    facts = [(filled.run, 1, seq) for seq in range(1, 6)]
    assert await check(*arguments, acknowledged=facts) == []
    with database.connect() as connection:
        if number == 3:
            connection.execute("DROP INDEX event_stream")
        connection.execute(DAMAGE[number])
    violations = await check(*arguments, acknowledged=facts)
    assert number in {violation.invariant for violation in violations}


async def test_a_lost_acknowledged_fact_is_named(filled, log):
    reader = Reader(log.database)
    (violation,) = await check(
        log.database,
        reader,
        filled.ws,
        filled.workspace.id,
        acknowledged=[(filled.run, 1, 6)],
    )
    assert violation.invariant == 2
    assert str(filled.run) in str(violation)
