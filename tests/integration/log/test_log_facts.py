"""Facts: fences, duplicates, gaps, late ones, poison, and what they lead to."""

import asyncio

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.ports import AttemptFacts, Fact, FactsBatch
from headway_control_plane.application.ports import FactsVerdict as V
from headway_control_plane.domain.commands import LoseAttempt
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from headway_control_plane.log import facts as facts_module
from headway_control_plane.log.facts import BLOB_BYTES_MAX
from headway_control_plane.log.invariants import check
from headway_control_plane.log.reader import Reader
from support.log_fixtures import NOW_US, bad_fact, call_ended, calls, exited, started

pytestmark = pytest.mark.postgres


@pytest.fixture
def reader(log):
    return Reader(log.database)


async def seqs(reader, fleet, run, fence=1):
    stream = Stream(StreamKind.ATTEMPT, run, fence)
    return [event.version for event in await reader.read_stream(fleet.ws, stream, limit=5000)]


async def test_facts_are_stored_as_received(fleet, reader):
    run = await fleet.granted_run()
    lot = [started(), call_ended(1), exited()]
    await fleet.report(run, 1, 1, lot)
    stored = await reader.read_stream(fleet.ws, Stream(StreamKind.ATTEMPT, run, 1))
    assert [event.payload for event in stored] == [fact.payload for fact in lot]
    assert [event.type for event in stored] == ["AttemptStarted", "CallEnded", "AttemptExited"]
    assert stored[1].decode().name == "task"
    assert stored[0].actor == f"agent/{fleet.agent}"


async def test_duplicates_are_acknowledged_and_not_stored_again(fleet, reader):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, calls(1, 5))
    again = await fleet.report(run, 1, 1, calls(1, 5))
    overlapping = await fleet.report(run, 1, 4, calls(4, 5))
    assert [(v.verdict, v.last_seq) for v in (again, overlapping)] == [(V.OK, 5), (V.OK, 8)]
    assert await seqs(reader, fleet, run) == list(range(1, 9))


async def test_a_gap_is_refused_and_names_the_last_fact(fleet, reader):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, calls(1, 2))
    verdict = await fleet.report(run, 1, 4, calls(4, 2))
    assert (verdict.verdict, verdict.last_seq) == (V.GAP, 2)
    assert await seqs(reader, fleet, run) == [1, 2]


async def test_facts_of_an_unknown_attempt_are_unknown(fleet):
    run = await fleet.create_run()
    assert (await fleet.report(run, 1, 1, calls(1, 1))).verdict is V.UNKNOWN
    assert (await fleet.report(fleet.new_id(), 1, 1, calls(1, 1))).verdict is V.UNKNOWN


async def test_mutation_skip_the_fence_check(fleet, reader, database):
    """Facts of an old fence never enter the log, not even in the flush of the grant that fenced them."""
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, calls(1, 2))
    await fleet.execute(LoseAttempt(run, 1))
    late, granted, too_late = await asyncio.gather(
        fleet.report(run, 1, 3, calls(3, 2)), fleet.grant(run), fleet.report(run, 1, 5, calls(5, 1))
    )
    assert granted is None
    assert (late.verdict, too_late.verdict) == (V.FENCED, V.FENCED)
    assert (await fleet.report(run, 2, 1, calls(1, 1))).verdict is V.OK
    assert (await fleet.report(run, 1, 3, calls(3, 1))).verdict is V.FENCED
    assert await seqs(reader, fleet, run, 1) == [1, 2]
    assert await seqs(reader, fleet, run, 2) == [1]


async def test_late_facts_are_kept_once_and_change_nothing(fleet, reader, database):
    run = await fleet.granted_run()
    await fleet.execute(LoseAttempt(run, 1))
    await fleet.grant(run)
    for _ in range(2):
        text = Blob.of(b'{"message": "late"}')
        error = attempt_pb2.Error(error_class="E", text_digest=text.digest)
        lot = [*calls(1, 2), exited(attempt_pb2.ATTEMPT_OUTCOME_FAILED, error=error)]
        verdict = await fleet.report(run, 1, 1, lot, [text])
        assert (verdict.verdict, verdict.last_seq) == (V.FENCED, 0)
    with database.connect() as connection:
        late = connection.execute("SELECT seq, type FROM late_fact ORDER BY seq").fetchall()
        status = connection.execute("SELECT status, fence FROM run").fetchone()
        kept = connection.execute("SELECT count(*) FROM payload WHERE digest = %s", [text.digest])
        assert kept.fetchone() == (1,)
    assert late == [(1, "CallEnded"), (2, "CallEnded"), (3, "AttemptExited")]
    assert status == ("pending", 2)


async def test_what_precedes_poison_is_accepted(fleet, reader):
    run = await fleet.granted_run()
    verdict = await fleet.report(run, 1, 1, [*calls(1, 2), bad_fact(), *calls(4, 1)])
    assert (verdict.verdict, verdict.last_seq) == (V.POISON, 2)
    assert "CallEnded" in verdict.reason
    dropped = attempt_pb2.FactDropped(type="CallEnded", reason=verdict.reason)
    instead = Fact("FactDropped", 1, NOW_US, dropped.SerializeToString())
    verdict = await fleet.report(run, 1, 3, [instead, *calls(4, 1)])
    assert (verdict.verdict, verdict.last_seq) == (V.OK, 4)
    assert await seqs(reader, fleet, run) == [1, 2, 3, 4]


async def test_poison_that_is_long_stored_in_another_form_is_a_duplicate(fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, calls(1, 3))
    verdict = await fleet.report(run, 1, 2, [bad_fact(), *calls(3, 3)])
    assert (verdict.verdict, verdict.last_seq) == (V.OK, 5)


def _content_of_another_digest():
    return [Blob(Blob.of(b"right").digest, b"wrong")], Blob.of(b"right").digest


def _content_that_is_too_large():
    blob = Blob.of(b"x" * (BLOB_BYTES_MAX + 1))
    return [blob], blob.digest


@pytest.mark.parametrize("made", [_content_of_another_digest, _content_that_is_too_large])
async def test_content_that_cannot_be_kept_poisons_its_fact(fleet, database, made):
    run = await fleet.granted_run()
    blobs, digest = made()
    error = attempt_pb2.Error(error_class="E", text_digest=digest)
    verdict = await fleet.report(run, 1, 1, [*calls(1, 1), call_ended(2, error=error)], blobs)
    assert (verdict.verdict, verdict.last_seq) == (V.POISON, 1)
    with database.connect() as connection:
        found = connection.execute("SELECT 1 FROM payload WHERE digest = %s", [digest])
        assert found.fetchone() is None


async def test_content_that_no_fact_names_is_not_kept(fleet, database):
    run = await fleet.granted_run()
    stray = Blob.of(b"stray")
    await fleet.report(run, 1, 1, calls(1, 1), [stray])
    with database.connect() as connection:
        found = connection.execute("SELECT 1 FROM payload WHERE digest = %s", [stray.digest])
        assert found.fetchone() is None


async def test_a_type_from_the_future_is_stored_as_it_came(fleet, reader):
    run = await fleet.granted_run()
    verdict = await fleet.report(run, 1, 1, [Fact("CallDreamt", 7, NOW_US, b"\xff\xff")])
    assert verdict.verdict is V.OK
    (event,) = await reader.read_stream(fleet.ws, Stream(StreamKind.ATTEMPT, run, 1))
    assert (event.type, event.schema_version, event.decode()) == ("CallDreamt", 7, None)


async def test_one_message_carries_several_attempts_each_with_its_verdict(fleet):
    first, second = await fleet.granted_run(), await fleet.granted_run()
    batch = FactsBatch(
        [
            AttemptFacts(first, 1, 1, calls(1, 2)),
            AttemptFacts(second, 1, 3, calls(3, 1)),
            AttemptFacts(fleet.new_id(), 1, 1, calls(1, 1)),
            AttemptFacts(first, 1, 3, [*calls(3, 1), bad_fact()]),
        ],
        "agent/x",
    )
    result = await fleet.log.append_facts(fleet.ws, batch)
    assert [(v.verdict, v.last_seq) for v in result.attempts] == [
        (V.OK, 2),
        (V.GAP, 0),
        (V.UNKNOWN, 0),
        (V.POISON, 3),
    ]
    head = await Reader(fleet.log.database).head(fleet.ws)
    assert result.witness == head


async def test_nothing_appended_gives_no_witness(fleet):
    run = await fleet.granted_run()
    batch = FactsBatch([AttemptFacts(run, 1, 5, calls(5, 1))], "agent/x")
    assert (await fleet.log.append_facts(fleet.ws, batch)).witness is None


async def test_the_end_of_an_attempt_closes_it_and_retries_the_run(fleet, database, reader):
    run = await fleet.granted_run()
    text = Blob.of(b'{"message": "boom", "traceback": ""}')
    error = attempt_pb2.Error(error_class="ValueError", text_digest=text.digest)
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_FAILED, cause="exit", exit_code=1, error=error)
    await fleet.report(run, 1, 1, [started(), end], [text])
    with database.connect() as connection:
        row = connection.execute("SELECT status, attempts_failed, error_class FROM run").fetchone()
    assert row == ("scheduled", 1, "ValueError")
    events = await reader.read_stream(fleet.ws, Stream(StreamKind.RUN, run))
    facts = await reader.read_stream(fleet.ws, Stream(StreamKind.ATTEMPT, run, 1))
    assert [event.type for event in events][-2:] == ["RunStarted", "RunRescheduled"]
    assert [event.causation for event in events][-2:] == [fact.event_id for fact in facts]
    assert events[-1].cursor > facts[-1].cursor


async def test_facts_that_come_after_the_end_of_their_run_still_lead_to_nothing(fleet, database):
    """Cancelled meanwhile: the facts are late, nobody is told of an error."""
    run = await fleet.granted_run()
    await fleet.execute(LoseAttempt(run, 1))
    verdict = await fleet.report(run, 1, 1, [started(), exited()])
    assert verdict.verdict is V.FENCED
    with database.connect() as connection:
        assert connection.execute("SELECT status FROM run").fetchone() == ("scheduled",)


async def test_a_fact_that_no_decider_can_carry_out_is_isolated_as_poison(
    fleet, reader, monkeypatch
):
    """The bisection ends at the one fact, whatever the cause; its neighbours in the flush are appended."""
    run, other = await fleet.granted_run(), await fleet.granted_run()

    def over(facts, message):
        if message.cause == "unforeseen":
            return Unforeseen()
        return original(facts, message)

    original = facts_module._over
    monkeypatch.setattr(facts_module, "_over", over)
    lot = [started(), *calls(2, 5), exited(cause="unforeseen")]
    verdict, neighbour = await asyncio.gather(
        fleet.report(run, 1, 1, lot), fleet.report(other, 1, 1, calls(1, 3))
    )
    assert (verdict.verdict, verdict.last_seq) == (V.POISON, 6)
    assert (neighbour.verdict, neighbour.last_seq) == (V.OK, 3)
    assert await seqs(reader, fleet, run) == [1, 2, 3, 4, 5, 6]
    assert await check(fleet.log.database, reader, fleet.ws, fleet.workspace.id) == []


class Unforeseen:
    needs = ()


async def test_lines_are_contiguous_and_idempotent(fleet, database):
    run = await fleet.granted_run()
    append = fleet.log.append_lines
    assert await append(fleet.ws, run, 1, 1, 10, b"a") == 10
    assert await append(fleet.ws, run, 1, 1, 10, b"a") == 10
    assert await append(fleet.ws, run, 1, 12, 5, b"b") == 10
    assert await append(fleet.ws, run, 1, 5, 10, b"c") == 10
    both = await asyncio.gather(*(append(fleet.ws, run, 1, 11, 5, b"d") for _ in range(2)))
    assert both == [15, 15]
    with database.connect() as connection:
        rows = connection.execute("SELECT first_line, lines FROM log_chunk ORDER BY 1").fetchall()
    assert rows == [(1, 10), (11, 5)]


async def test_facts_are_told_to_listeners_as_a_moved_end(fleet, log):
    run = await fleet.granted_run()
    notices = []
    log.on_commit(notices.append)
    await fleet.report(run, 1, 1, calls(1, 4))
    (notice,) = notices
    assert (notice.decided, notice.last.offset - notice.first.offset) == ((), 3)
