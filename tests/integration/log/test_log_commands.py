"""Commands through the committer, on a real database."""

import asyncio
import json
from datetime import timedelta

import pytest

from headway_control_plane.application.ports import Dedupe, IdempotencyConflict, UnknownWorkspace
from headway_control_plane.domain.commands import (
    CancelRun,
    ChangePool,
    CloseSession,
    CreatePool,
    CreateRun,
    Deploy,
    GrantRun,
    LoseSession,
    RevokeAgent,
)
from headway_control_plane.domain.errors import AlreadyExists, InvalidState, NotFound, StaleShard
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.invariants import check
from headway_control_plane.log.reader import Reader
from support.log_fixtures import calls, exited, new_fleet, started

pytestmark = pytest.mark.postgres


async def test_a_run_goes_from_created_to_completed(fleet, database):
    run = await fleet.granted_run()
    verdict = await fleet.report(run, 1, 1, [started(), *calls(1, 3), exited()])
    assert (verdict.verdict, verdict.last_seq) == ("ok", 5)
    with database.connect() as connection:
        row = connection.execute("SELECT status, version, session FROM run").fetchone()
        assert row == ("completed", 4, None)
        assert connection.execute("SELECT count(*) FROM slot").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM timer").fetchone() == (0,)
        tags = connection.execute("SELECT tag FROM run_tag ORDER BY tag").fetchall()
        assert tags == [("x",), ("y",)]


async def test_rows_come_back_as_they_were_stored(fleet, log):
    """A second look at every kind of row: what is loaded equals what was decided, quotes and empty tags included."""
    again = await fleet.execute(Deploy(fleet.deployment, fleet.spec()))
    assert again.repeated, "an unchanged deployment appends nothing"
    changed = await fleet.execute(Deploy(fleet.deployment, fleet.spec(tags=())))
    assert len(changed.decided) == 1
    moved = await fleet.execute(ChangePool(fleet.pool, ("name", "code"), 3))
    assert moved.decided[0].event.permits == ("code", "name")
    assert (await fleet.execute(ChangePool(fleet.pool, ("code", "name"), 3))).repeated
    await fleet.execute(RevokeAgent(fleet.agent, "sold"))
    assert (await fleet.execute(RevokeAgent(fleet.agent, "sold"))).repeated
    await fleet.execute(CloseSession(fleet.session, "goodbye"))
    assert (await fleet.execute(CloseSession(fleet.session, "goodbye"))).repeated


async def test_commands_of_one_flush_see_their_predecessors(fleet):
    """Sent at once, so that they share a flush: the grant sees the run that is created before it."""
    run = fleet.new_id()
    results = await asyncio.gather(
        fleet.execute(fleet.create_command(run)),
        fleet.execute(GrantRun(run, fleet.session, shard_epoch=0)),
        fleet.execute(CancelRun(run)),
    )
    assert [len(result.decided) for result in results] == [1, 1, 1]
    offsets = [result.cursor.offset for result in results]
    assert offsets == list(range(offsets[0], offsets[0] + 3))


async def test_a_pools_slots_hold_within_one_flush(fleet):
    await fleet.execute(ChangePool(fleet.pool, ("name",), 2))
    runs = [await fleet.create_run() for _ in range(4)]
    results = await asyncio.gather(*(fleet.grant(run) for run in runs), return_exceptions=True)
    assert [isinstance(result, InvalidState) for result in results] == [False, False, True, True]


async def test_a_refusal_spoils_nothing_beside_it(fleet):
    runs = [fleet.new_id() for _ in range(3)]
    results = await asyncio.gather(
        fleet.execute(fleet.create_command(runs[0])),
        fleet.execute(fleet.create_command(runs[1], deployment=fleet.new_id())),
        fleet.execute(fleet.create_command(runs[2])),
        return_exceptions=True,
    )
    assert isinstance(results[1], NotFound)
    assert results[2].cursor.offset == results[0].cursor.offset + 1


async def test_a_taken_name_is_refused_alone(fleet, database):
    results = await asyncio.gather(
        fleet.execute(fleet.create_command(fleet.new_id())),
        fleet.execute(CreatePool(fleet.new_id(), "local", ())),
        fleet.execute(fleet.create_command(fleet.new_id())),
        return_exceptions=True,
    )
    assert isinstance(results[1], AlreadyExists)
    assert [len(r.decided) for r in (results[0], results[2])] == [1, 1]


async def test_an_idempotency_key_gives_the_first_answer_again(fleet):
    run = fleet.new_id()
    dedupe = Dedupe("key", b"request", {"id": str(run)})
    first = await fleet.execute(fleet.create_command(run), dedupe=dedupe)
    later = Dedupe("key", b"request", {"id": "another"})
    second = await fleet.execute(fleet.create_command(fleet.new_id()), dedupe=later)
    assert (first.repeated, second.repeated) == (False, True)
    assert second.response == {"id": str(run)}
    assert second.decided == ()
    assert second.cursor >= first.cursor


async def test_an_idempotency_key_counts_within_a_flush(fleet, database):
    dedupe = Dedupe("key", b"request", {"n": 1})
    results = await asyncio.gather(
        *(fleet.execute(fleet.create_command(fleet.new_id()), dedupe=dedupe) for _ in range(20))
    )
    assert [result.repeated for result in results] == [False] + [True] * 19
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)


async def test_an_idempotency_key_with_another_request_is_a_typed_conflict(fleet):
    await fleet.execute(fleet.create_command(fleet.new_id()), dedupe=Dedupe("key", b"one", {}))
    with pytest.raises(IdempotencyConflict):
        await fleet.execute(fleet.create_command(fleet.new_id()), dedupe=Dedupe("key", b"two", {}))


async def test_an_idempotency_key_is_free_again_after_its_time(fleet, database):
    first = Dedupe("key", b"one", {}, keep=timedelta(0))
    await fleet.execute(fleet.create_command(fleet.new_id()), dedupe=first)
    second = await fleet.execute(
        fleet.create_command(fleet.new_id()), dedupe=Dedupe("key", b"two", {})
    )
    assert not second.repeated


async def test_a_refused_command_leaves_its_idempotency_key_free(fleet):
    dedupe = Dedupe("key", b"request", {"ok": True})
    wrong = fleet.create_command(fleet.new_id(), deployment=fleet.new_id())
    with pytest.raises(NotFound):
        await fleet.execute(wrong, dedupe=dedupe)
    assert not (await fleet.execute(fleet.create_command(fleet.new_id()), dedupe=dedupe)).repeated


async def test_a_repeated_run_id_appends_nothing(fleet):
    run = fleet.new_id()
    first = await fleet.execute(fleet.create_command(run))
    again = await fleet.execute(fleet.create_command(run))
    assert again.repeated
    assert again.cursor == first.cursor


async def test_a_grant_under_an_old_shard_epoch_is_refused(fleet, database):
    run = await fleet.create_run()
    with database.connect() as connection:
        connection.execute("UPDATE shard SET epoch = 1 WHERE id = %s", [fleet.workspace.shard])
    with pytest.raises(StaleShard):
        await fleet.grant(run)
    await fleet.execute(GrantRun(run, fleet.session, shard_epoch=1))


async def test_losing_a_session_waits_for_a_renewal_that_is_under_way(fleet, database):
    """The renewal does not take the head lock; the flush locks the session's row instead, and sees it renewed."""
    with database.connect(autocommit=False) as connection:
        connection.execute("UPDATE session SET expires_at = headway_now() - interval '1 s'")
        connection.commit()
        connection.execute("UPDATE session SET expires_at = headway_now() + interval '30 s'")
        losing = asyncio.ensure_future(fleet.execute(LoseSession(fleet.session)))
        await _until_someone_waits_for_a_lock(database)
        connection.commit()
    with pytest.raises(InvalidState):
        await losing


async def test_an_unknown_workspace_is_refused(log, fleet):
    with pytest.raises(UnknownWorkspace):
        await log.execute(999, CancelRun(fleet.new_id()), actor="test")


async def test_founding_twice_finds_the_first(log):
    first, second = await asyncio.gather(*(log.found("acme", actor="test") for _ in range(2)))
    assert first == second
    assert 0 <= first.shard < 1024
    reader = Reader(log.database)
    assert (await reader.head(first.ws)).cursor.offset == 1


async def test_listeners_hear_what_was_decided_after_the_commit(fleet, log, database):
    heard = []

    def listen(notice):
        with database.connect() as connection:
            row = connection.execute(
                'SELECT "offset" FROM workspace_head WHERE ws = %s', [notice.ws]
            ).fetchone()
        heard.append((notice, row[0]))

    stop = log.on_commit(listen)
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, calls(1, 5))
    stop()
    await fleet.create_run()
    assert [len(notice.decided) for notice, _ in heard] == [1, 1, 0]
    assert all(notice.last.offset == committed for notice, committed in heard)
    assert heard[-1][0].last.offset - heard[-1][0].first.offset == 4


async def test_a_failing_listener_harms_nobody(fleet, log, caplog):
    log.on_commit(lambda notice: 1 / 0)
    await fleet.create_run()
    assert "ZeroDivisionError" in caplog.text


async def test_every_invariant_holds_after_a_mixed_life(log, fleet):
    other = await new_fleet(log)
    for each in (fleet, other):
        for n in range(3):
            run = await each.granted_run()
            await each.report(run, 1, 1, [started(), *calls(1, n)])
            await (each.report(run, 1, n + 2, [exited()]) if n else each.execute(CancelRun(run)))
    for each in (fleet, other):
        assert await check(log.database, Reader(log.database), each.ws, each.workspace.id) == []


async def test_erasing_content_leaves_the_chain_valid(fleet, log, database):
    await fleet.create_run(parameters=Blob.of(b'{"secret": 1}'))
    with database.connect() as connection:
        assert connection.execute("DELETE FROM payload").rowcount > 0
    assert await check(log.database, Reader(log.database), fleet.ws, fleet.workspace.id) == []


async def test_a_text_that_a_column_cannot_hold_is_refused_alone(fleet):
    good, bad, granted = fleet.new_id(), fleet.new_id(), await fleet.granted_run()
    results = await asyncio.gather(
        fleet.execute(CancelRun(granted, "why\x00not")),
        fleet.execute(CreateRun(good, fleet.deployment, 1, Blob.of(b"{}"), _labels("a"))),
        fleet.execute(CreateRun(bad, fleet.deployment, 1, Blob.of(b"{}"), _labels("\x00"))),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == [
        "InvalidArgument",
        "Committed",
        "InvalidArgument",
    ]


def _labels(name: str) -> Blob:
    return Blob.of(json.dumps({"name": name, "tags": []}).encode())


async def _until_someone_waits_for_a_lock(database) -> None:
    async with asyncio.timeout(10):
        while True:
            with database.connect() as connection:
                waiting = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                ).fetchone()
            if waiting != (0,):
                return
            await asyncio.sleep(0.01)
