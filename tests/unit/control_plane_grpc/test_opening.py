"""What a Hello leads to, for everything that an agent may hold and the log may know."""

from dataclasses import replace
from uuid import UUID

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import (
    CloseSession,
    Heard,
    LoseAttempt,
    ReattachAttempt,
    RegrantAttempt,
)
from headway_control_plane.grpc_api.opening import (
    AttemptRow,
    Opening,
    SessionRow,
    forgettable,
    resumes,
    settle,
)
from headway_control_plane.grpc_api.wire import Held, Hello

RUN, AGENT, HERE, OLD, REPLICA = (UUID(int=n) for n in range(1, 6))
HEARD = Heard(HERE, REPLICA)
OPEN = AttemptRow(
    run=RUN, fence=2, status="running", session=HERE, last_seq=5, outcome="", cancel=False, newest=2,
    run_status="running", last_line=7,
)  # fmt: skip
LOST = replace(OPEN, status="closed", outcome="lost", session=OLD, run_status="scheduled")
ENDED = replace(OPEN, status="closed", outcome="completed", run_status="completed")


def opening(*held: Held) -> Opening:
    return Opening(Hello(HERE, "host", "0.1.0", 4, held), AGENT, REPLICA)


def holds(last_seq: int = 5, *, alive: bool = True) -> Opening:
    return opening(Held((RUN, 2), last_seq, alive))


@pytest.mark.parametrize(
    ("said", "row", "commands"),
    [
        pytest.param(holds(), OPEN, [], id="goes on"),
        pytest.param(holds(), replace(OPEN, session=OLD), [ReattachAttempt(RUN, 2, HERE)], id="held since the old session"),
        pytest.param(
            opening(), replace(OPEN, session=OLD), [LoseAttempt(RUN, 2, "agent forgot", heard=HEARD)], id="begun by an older process"
        ),
        pytest.param(opening(), OPEN, [], id="begun after this Hello was said"),
        pytest.param(opening(), replace(OPEN, last_seq=0, status="granted"), [], id="never begun, same session"),
        pytest.param(
            opening(), replace(OPEN, last_seq=0, status="granted", session=OLD), [ReattachAttempt(RUN, 2, HERE)], id="never begun, old session"
        ),
        pytest.param(holds(), LOST, [ReattachAttempt(RUN, 2, HERE)], id="given up, still runs"),
        pytest.param(holds(9, alive=False), LOST, [ReattachAttempt(RUN, 2, HERE)], id="given up, has ended with news"),
        pytest.param(holds(5, alive=False), LOST, [], id="given up, dead, no news"),
        pytest.param(holds(), replace(LOST, newest=3), [], id="given to another"),
        pytest.param(holds(), replace(LOST, run_status="cancelled"), [], id="given up, run has ended"),
        pytest.param(holds(), replace(LOST, outcome="agent forgot"), [], id="forgotten once"),
        pytest.param(holds(), ENDED, [], id="has ended"),
        pytest.param(opening(), ENDED, [], id="has ended and is forgotten"),
    ],
)  # fmt: skip
def test_what_is_to_be_done(said: Opening, row: AttemptRow, commands: list) -> None:
    assert settle(said, [], [row]) == ([commands] if commands else [])


def test_a_restored_log_grants_again_the_newest_attempt_that_it_has_forgotten() -> None:
    unknown, newer = Held((OLD, 1), 3, alive=False), Held((OLD, 2), 5, alive=True)
    said = opening(Held((RUN, 2), 5, alive=True), newer, unknown)
    assert settle(said, [], [OPEN]) == []
    restored = replace(said, restored=True)
    assert settle(restored, [], [OPEN]) == [[RegrantAttempt(OLD, 2, HERE)]]


def test_older_sessions_are_closed_after_their_attempts_were_taken_along() -> None:
    sessions = [SessionRow(HERE, "open", AGENT), SessionRow(OLD, "lost", AGENT)]
    forgotten = replace(OPEN, run=REPLICA, session=OLD)
    plan = settle(holds(), sessions, [replace(OPEN, session=OLD), forgotten])
    assert plan == [
        [ReattachAttempt(RUN, 2, HERE)],
        [CloseSession(OLD, "superseded")],
        # Last: it must not be given to the old session once more.
        [LoseAttempt(REPLICA, 2, "agent forgot", heard=HEARD)],
    ]


@pytest.mark.parametrize(
    ("mine", "row", "late"),
    [
        (1, SessionRow(OLD, "open", AGENT, 2), True),
        (1, SessionRow(OLD, "lost", AGENT, 2), True),
        (1, SessionRow(OLD, "closed", AGENT, 2), False),
        (2, SessionRow(OLD, "open", AGENT, 2), False),
        (0, SessionRow(OLD, "open", AGENT, 2), False),
        (1, SessionRow(OLD, "open", REPLICA, 2), False),
    ],
)
def test_a_later_process_of_the_agent_comes_first(mine: int, row: SessionRow, late: bool) -> None:
    said = opening()
    said = replace(said, hello=replace(said.hello, incarnation=mine))
    assert said.is_late([SessionRow(HERE, "open", AGENT, mine), row]) is late


@pytest.mark.parametrize(
    ("said", "row", "verdict", "last_seq"),
    [
        pytest.param(holds(), OPEN, pb.VERDICT_OK, 5, id="goes on"),
        pytest.param(holds(9), OPEN, pb.VERDICT_OK, 5, id="has more"),
        pytest.param(holds(), replace(OPEN, newest=3), pb.VERDICT_FENCED, 5, id="a newer grant"),
        pytest.param(
            holds(), replace(OPEN, session=OLD), pb.VERDICT_FENCED, 5, id="another session's"
        ),
        pytest.param(holds(), LOST, pb.VERDICT_FENCED, 5, id="given up and alive"),
        pytest.param(holds(alive=False), ENDED, pb.VERDICT_OK, 5, id="ended, all is there"),
        pytest.param(
            holds(8, alive=False), ENDED, pb.VERDICT_FENCED, 5, id="ended, and more comes"
        ),
    ],
)
def test_where_to_go_on(said: Opening, row: AttemptRow, verdict: int, last_seq: int) -> None:
    (resume,) = resumes(said, [row])
    assert (resume.verdict, resume.last_seq, resume.last_line) == (verdict, last_seq, 7)


def test_an_attempt_that_is_not_the_agents_is_unknown() -> None:
    (resume,) = resumes(holds(), [])
    assert (resume.verdict, resume.last_seq, resume.last_line) == (pb.VERDICT_UNKNOWN, 0, 0)


def test_a_cancel_is_told_while_the_attempt_is_open() -> None:
    assert resumes(holds(), [replace(OPEN, cancel=True)])[0].cancel
    assert not resumes(holds(), [replace(ENDED, cancel=True)])[0].cancel


def test_what_has_ended_and_is_all_there_may_be_forgotten() -> None:
    assert forgettable(holds(alive=False), [ENDED]) == [RUN]
    assert forgettable(holds(alive=True), [ENDED]) == []
    assert forgettable(holds(8, alive=False), [ENDED]) == []
    assert forgettable(holds(alive=False), [LOST]) == []
    assert forgettable(opening(), [ENDED]) == []
