"""What the dispatcher knows: rows and events in any overlap lead to the same picture."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from headway_control_plane.dispatch.view import PoolRow, Rows, RunRow, SessionRow, View
from headway_control_plane.domain.commands import CreateRun
from headway_control_plane.domain.dispatching import Dispatching
from headway_control_plane.domain.dispatching_words import (
    AttemptClosed,
    AttemptOpened,
    Grant,
    RunGone,
    RunWaits,
    SessionUp,
    Tick,
)
from headway_control_plane.domain.run.events import (
    OnLost,
    RunCompleted,
    RunCreated,
    RunGranted,
    RunPaused,
    RunReattached,
    RunRescheduled,
    RunResumed,
)
from headway_control_plane.domain.session.events import (
    SessionClosed,
    SessionLost,
    SessionOpened,
    SessionResumed,
)
from headway_control_plane.domain.streams import NO_BLOB, Decided, Stream, StreamKind

WS = 7
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POOL, KEY, SESSION, OTHER = (UUID(int=n) for n in range(1, 5))


def run_id(n: int) -> UUID:
    return UUID(int=100 + n)


def on_run(n: int, event) -> Decided:
    return Decided(Stream(StreamKind.RUN, run_id(n)), event)


def on_session(session: UUID, event) -> Decided:
    return Decided(Stream(StreamKind.SESSION, session), event)


def created(due_at: datetime = NOW) -> RunCreated:
    return RunCreated(
        deployment=KEY, pool=POOL, flow="f", labels=NO_BLOB, parameters=NO_BLOB, environment="", entrypoint="",
        code_hash="", priority=3, due_at=due_at, retries=0, retry_delay_ms=0, on_lost=OnLost.RETRY,
        cancel_grace_ms=0, kill_grace_ms=0,
    )  # fmt: skip


def opened(slots: int = 2) -> SessionOpened:
    return SessionOpened(
        agent=UUID(int=9), pool=POOL, host="", agent_version="", slots=slots, replica=UUID(int=8)
    )


def granted(fence: int = 1, session: UUID = SESSION) -> RunGranted:
    return RunGranted(fence, session, UUID(int=9))


def row(n: int, session: UUID | None = None, due_at: datetime = NOW) -> RunRow:
    return RunRow(run_id(n), POOL, KEY, 3, due_at, session)


def rows(*runs: RunRow, slots: int = 2) -> Rows:
    return Rows(list(runs), [SessionRow(SESSION, POOL, slots)], [PoolRow(POOL, "local", 0)])


class Board:
    """A view and its core, as the dispatcher joins them."""

    def __init__(self) -> None:
        self.view, self.core = View(WS), Dispatching()

    def feed(self, inputs) -> list[UUID]:
        effects = self.core.step(NOW, *inputs)
        given = [e.run for e in effects if isinstance(e, Grant)]
        self.view.granting.update(given)
        return given


def test_a_load_gives_what_waits_to_who_is_there() -> None:
    board = Board()
    given = board.feed(board.view.load(rows(row(1, SESSION), row(2), row(3))))
    assert given == [run_id(2)]
    assert board.core.waiting() == 1


def test_a_second_load_that_says_the_same_changes_nothing() -> None:
    board = Board()
    board.feed(board.view.load(rows(row(1, SESSION), row(2, SESSION), row(3))))
    assert board.feed(board.view.load(rows(row(1, SESSION), row(2, SESSION), row(3)))) == []
    assert board.core.waiting() == 1


def test_rows_say_nothing_of_a_run_whose_grant_is_on_its_way() -> None:
    board = Board()
    assert board.feed(board.view.load(rows(row(1), slots=1))) == [run_id(1)]
    # Read before the grant was committed: it still waits there.
    assert board.feed(board.view.load(rows(row(1), slots=1))) == []
    board.feed(board.view.fold(on_run(1, granted())))
    assert board.feed(board.view.load(rows(row(1, SESSION), row(2), slots=1))) == []
    assert board.feed(board.view.fold(on_run(1, RunCompleted(1)))) == [run_id(2)]


def test_what_rows_no_longer_show_is_over() -> None:
    board = Board()
    board.feed(board.view.load(rows(row(1, SESSION), row(2), slots=1)))
    assert board.feed(board.view.load(rows(row(2), slots=1))) == [run_id(2)]
    gone = board.view.load(Rows([], [], [PoolRow(POOL, "local", 0)]))
    board.feed(gone)
    assert board.core.waiting() == 0
    assert board.feed(board.view.fold(on_run(3, created()))) == []


def test_a_refused_grant_frees_the_slot_and_asks_for_the_row() -> None:
    board = Board()
    assert board.feed(board.view.load(rows(row(1), slots=1))) == [run_id(1)]
    board.feed(board.view.refused(run_id(1)))
    assert board.view.unknown == {run_id(1)}
    assert board.core.waiting() == 0
    assert board.feed(board.view.load_runs([row(1)], [run_id(1)])) == [run_id(1)]
    assert not board.view.unknown
    board.feed(board.view.refused(run_id(1)))
    assert board.feed(board.view.load_runs([], [run_id(1)])) == []
    assert board.feed(board.view.fold(on_run(2, created()))) == [run_id(2)]


def test_a_lost_session_takes_nothing_until_it_is_back() -> None:
    board = Board()
    board.feed(board.view.load(rows()))
    board.feed(board.view.fold(on_session(SESSION, SessionLost())))
    assert board.feed(board.view.fold(on_run(1, created()))) == []
    back = on_session(SESSION, SessionResumed(UUID(int=8), 1))
    assert board.feed(board.view.fold(back)) == [run_id(1)]
    board.feed(board.view.fold(on_session(SESSION, SessionClosed("goodbye"))))
    assert board.feed(board.view.fold(back)) == []


def test_a_session_that_was_lost_when_we_loaded_is_known_when_it_returns() -> None:
    view = View(WS)
    view.load(Rows([], [SessionRow(SESSION, POOL, 4, up=False)], []))
    back = view.fold(on_session(SESSION, SessionResumed(UUID(int=8), 3)))
    assert back == [SessionUp(WS, SESSION, POOL, 3)]


def test_a_retry_waits_for_its_due_time() -> None:
    board = Board()
    board.feed(board.view.load(rows(row(1, SESSION))))
    later = NOW + timedelta(seconds=5)
    assert board.feed(board.view.fold(on_run(1, RunRescheduled(1, "failed", later)))) == []
    assert board.core.next_wake(NOW) <= later
    assert [e.run for e in board.core.step(later, Tick()) if isinstance(e, Grant)] == [run_id(1)]


def test_a_reattached_attempt_moves_its_slot() -> None:
    board = Board()
    board.feed(board.view.load(rows(row(1, SESSION), slots=1)))
    board.feed(board.view.fold(on_session(OTHER, opened(slots=1))))
    board.feed(board.view.fold(on_run(1, RunReattached(1, OTHER))))
    effects = board.core.step(NOW, *board.view.fold(on_run(2, created())))
    assert [e.session for e in effects if isinstance(e, Grant)] == [SESSION]


def test_events_of_unknown_runs_ask_for_their_rows() -> None:
    view = View(WS)
    assert view.fold(on_run(1, RunResumed(NOW))) == []
    assert view.fold(on_run(2, granted())) == []
    assert view.fold(on_run(3, RunPaused(1, "lost"))) == []
    assert view.fold(on_run(4, RunCompleted(1))) == []
    assert view.unknown == {run_id(1), run_id(2)}
    assert any(isinstance(i, RunWaits) for i in view.load_runs([row(1)], [run_id(1)]))


def test_a_changed_due_time_is_taken_from_the_row() -> None:
    view = View(WS)
    view.load(rows(row(1, due_at=NOW + timedelta(hours=1))))
    inputs = view.load_runs([row(1)])
    assert inputs[0] == RunGone(WS, run_id(1))
    assert isinstance(inputs[1], RunWaits)


HISTORY = [
    on_session(SESSION, opened(slots=3)),
    on_run(1, created()),
    on_run(2, created()),
    on_run(1, granted()),
    on_run(2, granted()),
    on_run(1, RunCompleted(1)),
    on_run(2, RunRescheduled(1, "failed", NOW + timedelta(hours=1))),
    on_run(3, created(NOW + timedelta(hours=1))),
    on_session(SESSION, SessionLost()),
    on_session(SESSION, SessionResumed(UUID(int=8), 3)),
]
# The rows after all of it.
END = Rows(
    [row(2, due_at=NOW + timedelta(hours=1)), row(3, due_at=NOW + timedelta(hours=1))],
    [SessionRow(SESSION, POOL, 3)],
    [],
)


@pytest.mark.parametrize("seed", range(10))
def test_events_that_the_rows_already_show_lead_to_the_same_end(seed: int) -> None:
    """A load falls anywhere into the events: those after it may be shown by its rows already."""
    known = Random(seed).randrange(len(HISTORY))
    view, core = View(WS), Dispatching()
    inputs = [i for decided in HISTORY[:known] for i in view.fold(decided)]
    inputs += view.load(END)
    inputs += [i for decided in HISTORY[known:] for i in view.fold(decided)]
    inputs += view.load_runs(END.runs, view.unknown.copy())
    core.step(NOW, *inputs)
    assert core.waiting() == 2
    later = NOW + timedelta(hours=2)
    assert len([e for e in core.step(later, Tick()) if isinstance(e, Grant)]) == 2


def test_an_attempt_of_an_unknown_run_takes_its_slot_before_its_row_is_read():
    view = View(WS)
    view.load(Rows([], [SessionRow(SESSION, POOL, 1)], [PoolRow(POOL, "local", 0)]))
    given = view.fold(on_run(1, RunReattached(1, SESSION)))
    assert given == [AttemptOpened(WS, run_id(1), POOL, SESSION)]
    assert view.unknown == {run_id(1)}
    # Neither waiting nor open by now: its row is not there, and the slot is free again.
    gone = view.load_runs([], [run_id(1)])
    assert gone == [RunGone(WS, run_id(1)), AttemptClosed(WS, run_id(1), POOL, SESSION)]


def test_a_run_that_was_given_away_ahead_is_no_news_when_it_is_created():
    view = View(WS)
    view.fold(on_run(1, created()))
    command = CreateRun(run_id(2), KEY, 1, NO_BLOB, NO_BLOB)
    waits = view.begins(command, NOW)
    assert waits == RunWaits(WS, run_id(2), POOL, KEY, 3, NOW)
    view.granted_ahead(waits)
    view.granting.add(run_id(2))
    assert view.begins(command, NOW) is None
    opened = [on_run(2, created()), on_run(2, RunGranted(1, SESSION, OTHER))]
    assert view.fold_all(opened) == [AttemptOpened(WS, run_id(2), POOL, SESSION)]


def test_a_run_that_was_given_away_ahead_and_not_created_leaves_its_slot():
    view = View(WS)
    view.fold(on_run(1, created()))
    waits = view.begins(CreateRun(run_id(2), KEY, 1, NO_BLOB, NO_BLOB), NOW)
    view.granted_ahead(waits)
    view.granting.add(run_id(2))
    assert view.refused(run_id(2)) == [
        RunGone(WS, run_id(2)),
        AttemptClosed(WS, run_id(2), POOL, None),
    ]


def test_what_is_not_known_before_is_not_foreseen():
    view = View(WS)
    later = NOW + timedelta(seconds=1)
    assert view.begins(CreateRun(run_id(2), KEY, 1, NO_BLOB, NO_BLOB), NOW) is None
    view.fold(on_run(1, created()))
    for changed in ({"due_at": later}, {"forked_from": run_id(1)}):
        command = CreateRun(run_id(2), KEY, 1, NO_BLOB, NO_BLOB, **changed)
        assert view.begins(command, NOW) is None
