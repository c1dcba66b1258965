"""Answers to what runs wait for: a row each, written once, and gone with the wait."""

import hashlib

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.commands import AnswerRun
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.flush import Flusher
from support.log_fixtures import exited, started

pytestmark = pytest.mark.postgres

SUSPENDED = attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED
YES = Blob.of(b"true")


def call(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()[:16]


def waiting(*numbers: int):
    """Until an answer comes, for a pause of a minute each time: what a run gathers that waits for several."""
    waits = [attempt_pb2.Wait(call=call(n), kind="input", name=f"{n}") for n in numbers]
    return exited(SUSPENDED, waits=waits)


def rows(database, run):
    """Where each answer lies, by call: a row that is written again lies elsewhere."""
    query = "SELECT call, digest, ctid::text FROM run_answer WHERE run = %s"
    with database.connect() as connection:
        found = connection.execute(query, [run]).fetchall()
    return {each: (digest, place) for each, digest, place in found}


async def suspended(fleet, *numbers: int):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), waiting(*numbers)])
    return run


async def test_an_answer_is_a_row_and_leaves_those_before_it_alone(fleet, database):
    run = await suspended(fleet, *range(5))
    assert rows(database, run) == {}
    for number in range(3):
        before = rows(database, run)
        await fleet.execute(AnswerRun(run, call(number), YES))
        after = rows(database, run)
        assert after.keys() == {*before, call(number)}
        assert {each: after[each] for each in before} == before
    assert {digest for digest, _ in rows(database, run).values()} == {YES.digest}


async def test_answers_of_what_is_waited_for_no_longer_go(fleet, database):
    """An answer that the attempt has not taken stays for the next one."""
    run = await suspended(fleet, 1, 2, 3)
    for number in (1, 2):
        await fleet.execute(AnswerRun(run, call(number), YES))
    await fleet.grant(run)
    await fleet.report(run, 2, 1, [started(), waiting(2, 3)])
    assert rows(database, run).keys() == {call(2)}
    await fleet.grant(run)
    await fleet.report(run, 3, 1, [started(), exited()])
    assert rows(database, run) == {}


async def test_a_decision_behind_an_answer_sees_it_in_the_next_flush(fleet):
    run = await suspended(fleet, 1, 2)
    await fleet.execute(AnswerRun(run, call(1), YES))
    with pytest.raises(Exception, match="answered before"):
        await fleet.execute(AnswerRun(run, call(1), YES))


async def test_an_answer_that_is_not_committed_has_no_row(fleet, database, monkeypatch):
    run = await suspended(fleet, 1)

    async def refuse(*_):
        raise RuntimeError("no commit")

    with monkeypatch.context() as broken:
        broken.setattr(Flusher, "_commit", refuse)
        with pytest.raises(Exception, match=r"no commit|unexpected|failed"):
            await fleet.execute(AnswerRun(run, call(1), YES))
    assert rows(database, run) == {}
