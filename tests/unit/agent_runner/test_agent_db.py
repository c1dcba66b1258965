import asyncio
import contextlib
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway_agent.connection.messages import Witness
from headway_agent.main import wiring
from headway_agent.spool import migrations, records
from headway_agent.spool.agent_db import AgentDb, SpoolFault
from headway_agent.spool.errors import NewerDatabase
from headway_agent.spool.records import Identity, Witnessed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def db(path: Path) -> Iterator[AgentDb]:
    one = AgentDb.open(path)
    yield one
    one.close()


def assign(run: str = "r", fence: int = 1) -> records.Change:
    return records.assign(run, fence, run_dir="/d", assignment={"a": 1}, now_us=5)


async def test_an_attempt_goes_through_its_states(db: AgentDb) -> None:
    await db.run(assign())
    await db.run(assign())
    await db.run(records.acked("r", 1, seq=5, line=0))
    await db.run(records.acked("r", 1, seq=3, line=2))
    (row,) = await db.run(records.attempts)
    assert (row.state, row.acked_seq, row.acked_line) == ("assigned", 5, 2)
    assert row.assignment == {"a": 1}
    await db.run(
        records.together(records.acked("r", 1, seq=6, line=2), records.closed("r", 1, now_us=9))
    )
    await db.run(assign())
    await db.run(records.forgotten("r", now_us=10))
    await db.run(records.forgotten("r", now_us=11))
    (row,) = await db.run(records.attempts)
    assert (row.state, row.closed_at_us, row.forgotten_at_us) == ("closed", 9, 10)
    assert (row.acked_seq, row.acked_line) == (6, 2)
    await db.run(records.removed("r"))
    assert await db.run(records.attempts) == []


async def test_what_was_written_is_there_after_a_new_start(path: Path) -> None:
    one = AgentDb.open(path)
    await one.run(assign())
    one.close()
    two = AgentDb.open(path)
    assert len(two.run_now(records.attempts)) == 1
    two.close()
    two.close()
    with pytest.raises(SpoolFault, match="closed"):
        await two.run(records.attempts)


def test_only_its_owner_reads_it(db: AgentDb, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_durable(db: AgentDb) -> None:
    assert db.run_now(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    assert db.run_now(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (2,)


async def test_changes_that_wait_together_are_committed_together(db: AgentDb) -> None:
    commits: list[str] = []
    await db.run(
        lambda c: c.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    )
    await asyncio.gather(*(db.run(assign(str(n))) for n in range(1000)))
    assert len(commits) < 500
    await db.run(lambda c: c.set_trace_callback(None))
    assert len(await db.run(records.attempts)) == 1000


async def test_a_change_that_fails_is_taken_back_alone(db: AgentDb) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        assign("bad")(connection)
        raise KeyError("mine")

    results = await asyncio.gather(
        db.run(assign("a")), db.run(fails), db.run(assign("b")), return_exceptions=True
    )
    assert isinstance(results[1], KeyError)
    assert [row.run for row in await db.run(records.attempts)] == ["a", "b"]


async def test_a_full_disk_is_told_and_the_next_try_may_succeed(db: AgentDb) -> None:
    (pages,) = await db.run(lambda c: c.execute("PRAGMA page_count").fetchone())
    await db.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    big = records.assign("r", 1, run_dir="/d", assignment={"a": "x" * 100_000}, now_us=5)
    with pytest.raises(SpoolFault, match="No space left"):
        await db.run(big)
    await db.run(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())
    await db.run(big)
    assert len(await db.run(records.attempts)) == 1


async def test_a_failed_fsync_is_the_end_of_the_file(db: AgentDb) -> None:
    def fails(_connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    for change in (fails, assign()):
        with pytest.raises(SpoolFault, match="Check the disk"):
            await db.run(change)


def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerDatabase, match="Upgrade headway-agent"):
        AgentDb.open(path)


def test_steps_are_taken_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AgentDb.open(path).close()
    steps = (*migrations.MIGRATIONS, "CREATE TABLE later (a INTEGER)")
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    for _ in range(2):
        db = AgentDb.open(path)
        assert db.run_now(lambda c: c.execute("PRAGMA user_version").fetchone()) == (len(steps),)
        assert db.run_now(lambda c: c.execute("SELECT count(*) FROM later").fetchone()) == (0,)
        db.close()


async def test_identity(db: AgentDb) -> None:
    assert await db.run(records.identity) is None
    first = Identity("a", "w", "p", "https://x", b"k" * 32, b"p" * 32, 1)
    second = Identity("b", "w", "p", "https://x", b"k" * 32, b"p" * 32, 2)
    await db.run(records.keep_identity(first))
    assert await db.run(records.identity) == first
    await db.run(records.keep_identity(second))
    assert await db.run(records.identity) == second


async def test_the_witness_keeps_the_first_word_and_the_newest_places(
    db: AgentDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await db.run(records.last_witness) is None
    monkeypatch.setattr(records, "MOST_WITNESSES", 3)
    for offset in (1, 2, 3, 4, 5):
        await db.run(records.witness(Witnessed(1, offset, b"%d" % offset), now_us=1))
    await db.run(records.witness(Witnessed(1, 5, b"other"), now_us=1))
    await db.run(records.trim_witnesses)
    assert await db.run(records.last_witness) == Witnessed(1, 5, b"5")
    assert await db.run(lambda c: c.execute("SELECT count(*) FROM witness").fetchone()) == (3,)
    await db.run(records.witness(Witnessed(2, 1, b"new"), now_us=1))
    assert await db.run(records.last_witness) == Witnessed(2, 1, b"new")


async def test_witnesses_are_trimmed_at_the_start_and_now_and_then(
    db: AgentDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_WITNESSES", 3)
    monkeypatch.setattr(wiring, "TRIM_EVERY", 5)

    async def kept(witnesses: wiring.DbWitnesses, offsets: range) -> int:
        await asyncio.gather(*(witnesses.keep(Witness(1, n, b"chain")) for n in offsets))
        (count,) = await db.run(lambda c: c.execute("SELECT count(*) FROM witness").fetchone())
        return int(count)

    first = wiring.DbWitnesses(db, lambda: 1)
    assert await kept(first, range(1, 6)) == 5
    assert await kept(first, range(6, 7)) == 3
    assert await kept(first, range(7, 9)) == 5
    assert await kept(wiring.DbWitnesses(db, lambda: 1), range(9, 10)) == 3
    assert await first.last() == Witness(1, 9, b"chain")


async def test_changes_beside_one_that_fails_are_done_once(db: AgentDb) -> None:
    """They are called again, from the state before: what they gave the first time is taken back."""
    called: list[str] = []

    def counts(name: str) -> records.Change:
        def change(connection: sqlite3.Connection) -> None:
            called.append(name)
            connection.execute(
                "INSERT INTO witness VALUES (1, (SELECT count(*) FROM witness), x'00', 1)"
            )

        return change

    def fails(connection: sqlite3.Connection) -> None:
        counts("fails")(connection)
        connection.execute("INSERT INTO witness VALUES (1, 0, x'00', 1)")

    results = await asyncio.gather(
        *map(db.run, (counts("a"), fails, counts("b"))), return_exceptions=True
    )
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert [results[0], results[2]] == [None, None]
    assert called == ["a", "fails", *("a", "fails", "b")]
    assert await db.run(lambda c: c.execute('SELECT "offset" FROM witness').fetchall()) == [
        (0,),
        (1,),
    ]


async def test_whoever_gives_up_waiting_harms_nobody(db: AgentDb) -> None:
    entered, leave = threading.Event(), threading.Event()

    def blocks(_: sqlite3.Connection) -> None:
        entered.set()
        leave.wait(20)

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM nowhere")

    first = asyncio.create_task(db.run(blocks))
    await asyncio.to_thread(entered.wait, 20)
    given_up, failing = asyncio.create_task(db.run(assign())), asyncio.create_task(db.run(fails))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    leave.set()
    await first
    with pytest.raises(SpoolFault, match="nowhere"):
        await failing
    await db.run(assign())


def test_a_damaged_file_is_told_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"no database, but long enough to look like the header of one" * 20)
    with pytest.raises(SpoolFault, match="enrol"):
        AgentDb.open(path)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpoolFault, match="owner"):
        AgentDb.open(tmp_path / "missing" / "agent.db")


async def test_what_hurries_takes_what_waits_along(db: AgentDb) -> None:
    await db.run(assign())
    patient = asyncio.ensure_future(db.run(records.acked("r", 1, seq=5, line=0), hurry=False))
    await asyncio.sleep(0)
    await db.run(records.acked("r", 1, seq=0, line=7))
    await patient
    (row,) = await db.run(records.attempts)
    assert (row.acked_seq, row.acked_line) == (5, 7)


async def test_what_hurries_in_one_turn_is_one_commit(db: AgentDb) -> None:
    commits: list[str] = []
    await db.run(
        lambda c: c.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    )
    commits.clear()
    for turn in range(3):
        await asyncio.gather(*(db.run(assign(f"{turn}/{n}")) for n in range(50)))
    assert len(commits) == 3
    assert len(await db.run(records.attempts)) == 150


def test_what_hurried_in_a_loop_that_ended_is_not_lost_for_the_next_one(db: AgentDb) -> None:
    async def given_up() -> None:
        asyncio.ensure_future(db.run(assign("first"))).cancel()
        waiting = asyncio.ensure_future(db.run(assign("second")))
        asyncio.get_running_loop().call_soon(waiting.cancel)
        await asyncio.sleep(0)

    async def again() -> int:
        await db.run(assign("third"))
        return len(await db.run(records.attempts))

    asyncio.run(given_up())
    assert asyncio.run(again()) >= 1


async def test_each_process_counts_higher_whatever_its_clock_says(db: AgentDb) -> None:
    numbers = [await db.run(records.next_incarnation(now_us)) for now_us in (50, 40, 40, 900)]
    assert numbers == [50, 51, 52, 900]


async def test_what_can_wait_is_committed_together_and_by_itself(db: AgentDb) -> None:
    commits: list[str] = []
    await db.run(
        lambda c: c.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    )
    commits.clear()
    await asyncio.gather(*(db.run(assign(str(n)), hurry=False) for n in range(20)))
    assert len(commits) == 1
    await asyncio.gather(*(db.run(assign(str(n)), hurry=False) for n in range(20, 40)))
    assert len(commits) == 2
    assert len(await db.run(records.attempts)) == 40


async def test_what_waits_is_there_after_the_end(path: Path) -> None:
    db = AgentDb.open(path)
    waiting = asyncio.ensure_future(db.run(assign(), hurry=False))
    await asyncio.sleep(0)
    db.close()
    await waiting
    with contextlib.closing(AgentDb.open(path)) as again:
        assert len(again.run_now(records.attempts)) == 1
