"""The strip of starts on the days when clocks are set, and the parts of a run's time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.ui.views.axis import make_axis
from headway_control_plane.ui.views.starts import HEIGHT, MOST_BARS, edges_of, strip_of
from headway_control_plane.ui.views.zoom import Window, read_window, zoom_of, zoomed_axis
from headway_control_plane.ui.zones import UTC_ZONE, read_zone

BERLIN = read_zone("Europe/Berlin")
HOUR = timedelta(hours=1)
START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def lengths(start: datetime, end: datetime) -> list[timedelta]:
    edges = edges_of(start, end, BERLIN)
    assert edges[0] <= start
    assert edges[-1] > end
    return [later - earlier for earlier, later in pairwise(edges)]


def test_days_are_calendar_days_of_the_zone():
    """In spring a day of 23 hours, in autumn one of 25; all others have 24."""
    spring = lengths(datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    autumn = lengths(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC))
    assert sorted(set(spring)) == [23 * HOUR, 24 * HOUR]
    assert sorted(set(autumn)) == [24 * HOUR, 25 * HOUR]
    assert spring.count(23 * HOUR) == autumn.count(25 * HOUR) == 1


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])  # fmt: skip
def test_hours_stay_hours_when_a_clock_is_set(day):
    """No hour is lost and none is counted twice."""
    assert set(lengths(day - 10 * HOUR, day + 30 * HOUR)) == {HOUR}


@pytest.mark.parametrize("zone", [UTC_ZONE, BERLIN, read_zone("Asia/Kathmandu"), read_zone("Australia/Lord_Howe")])  # fmt: skip
@pytest.mark.parametrize(
    "span", [timedelta(0), timedelta(seconds=20), timedelta(minutes=9), 2 * HOUR, 47 * HOUR, timedelta(days=29), timedelta(days=4000)]
)  # fmt: skip
def test_edges_are_few_and_in_order(zone, span):
    edges = edges_of(START - span, START, zone)
    assert edges == sorted(set(edges))
    assert 2 <= len(edges) <= MOST_BARS + 3
    assert edges[0] <= START - span
    assert edges[-1] > START


def test_bars_are_within_the_picture_and_a_single_failure_is_seen():
    edges = [START + HOUR * n for n in range(4)]
    many = {RunStatus.COMPLETED: 9_999, RunStatus.FAILED: 1}
    strip = strip_of(edges, [many, {}, {RunStatus.RUNNING: 1}], UTC_ZONE, href=lambda a, b: f"{a:%H}-{b:%H}", more=True)  # fmt: skip
    assert [bar.href for bar in strip.bars] == ["12-13", "14-15"]
    assert "10,000 runs, 9,999 completed, 1 failed" in strip.bars[0].title
    failed = strip.bars[0].pieces[-1]
    assert (failed.css, float(failed.height) > 1, float(failed.y) >= 0) == ("failed", True, True)
    assert sum(float(piece.height) for piece in strip.bars[0].pieces) <= HEIGHT + 0.01
    assert "older ones are not drawn" in strip.note
    assert strip_of(edges, [{}, {}, {}], UTC_ZONE, href=lambda a, b: "", more=False) is None


@pytest.mark.parametrize(("begin", "end"), [("", "1"), ("2", "1"), ("1", "1"), ("x", "2"), ("1e3", "2"), ("1", "1.0001")])  # fmt: skip
def test_a_window_that_makes_no_sense_is_none(begin, end):
    assert read_window(begin, end) is None


def test_links_lead_to_neighbouring_parts_and_stay_within_the_run():
    whole = make_axis(START, START + timedelta(seconds=100))
    axis = zoomed_axis(whole, Window(10, 20).span(START))
    assert (axis.start, axis.end) == (START + timedelta(seconds=10), START + timedelta(seconds=20))
    zoom = zoom_of(whole, axis, START, "/runs/x", [("attempt", "1")])
    assert zoom.closer == "/runs/x?attempt=1&from=12.5&to=17.5#timeline"
    assert zoom.wider == "/runs/x?attempt=1&from=5&to=25#timeline"
    assert (zoom.earlier, zoom.later) == (
        "/runs/x?attempt=1&from=5&to=15#timeline",
        "/runs/x?attempt=1&from=15&to=25#timeline",
    )
    assert zoom.whole == "/runs/x?attempt=1#timeline"
    first = zoom_of(whole, whole, START, "/runs/x", [])
    assert (first.wider, first.earlier, first.later, first.whole) == ("", "", "", "")


def test_the_day_on_which_a_clock_is_set_has_round_labels():
    axis = make_axis(datetime(2026, 3, 26, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC), BERLIN)
    assert [tick.label for tick in axis.ticks()][:3] == ["27 Mar", "28 Mar", "29 Mar"]
    assert axis.head() == "times in Europe/Berlin"
