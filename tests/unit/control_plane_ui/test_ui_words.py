from datetime import UTC, datetime, timedelta

import pytest

from headway_control_plane.ui import words
from headway_control_plane.ui.zones import UTC_ZONE, read_zone

BERLIN = read_zone("Europe/Berlin")
NOW = datetime(2026, 11, 22, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"), (0, "0 ms"), (0.00034, "340 µs"), (0.84, "840 ms"), (0.9996, "1.0 s"), (4.2, "4.2 s"), (59.94, "59.9 s"), (59.96, "1 m 00 s"),
        (252, "4 m 12 s"), (3599.4, "59 m 59 s"), (3599.6, "1 h 00 m"), (11_100, "3 h 05 m"), (187_200, "2 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert words.duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(0), "now"),
        (timedelta(seconds=12), "12 s ago"),
        (timedelta(minutes=3), "3 m ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(hours=24), "21 Nov 16:00"),
        (timedelta(days=400), "18 Oct 2025"),
        (-timedelta(minutes=3), "in 3 m"),
        (-timedelta(days=2), "24 Nov 16:00"),
    ],
)
def test_moments(ago, text):
    assert words.moment(NOW - ago, NOW).text(UTC_ZONE) == text


def test_a_moment_says_all_in_its_title():
    at = datetime(2026, 11, 22, 15, 59, 1, 234_567, tzinfo=UTC)
    made = words.moment(at, NOW)
    assert made.title(UTC_ZONE) == "2026-11-22 15:59:01.234 UTC"
    assert made.iso == "2026-11-22T15:59:01.234Z"


def test_another_zone_is_said_with_its_offset_and_utc_beside_it():
    at = datetime(2026, 11, 22, 15, 59, 1, 234_567, tzinfo=UTC)
    title = words.moment(at, NOW).title(BERLIN)
    assert title == "2026-11-22 16:59:01.234 +01:00 Europe/Berlin\n2026-11-22 15:59:01.234 UTC"
    assert words.moment(at, NOW).iso == "2026-11-22T15:59:01.234Z"
    assert words.clock_time(at, BERLIN) == "16:59:01.234"
    later = NOW + timedelta(days=2)
    assert words.moment(at.replace(hour=23), later).text(BERLIN) == "23 Nov 00:59"


def test_the_hour_that_comes_twice_differs_by_its_offset():
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    assert words.full(first, BERLIN).startswith("2026-10-25 02:30:00.000 +02:00")
    assert words.full(second, BERLIN).startswith("2026-10-25 02:30:00.000 +01:00")


@pytest.mark.parametrize("name", ["Europe", "../etc/passwd", "Mars/Olympus", "/etc", "browser:x y", "a" * 300])  # fmt: skip
def test_what_is_no_zone_is_none(name):
    assert read_zone(name) is None


@pytest.mark.parametrize("text", ["", "UTC", "Europe/Berlin", "browser:Asia/Kolkata", "browser:UTC"])  # fmt: skip
def test_a_choice_is_read_as_the_cookie_holds_it(text):
    zone = read_zone(text)
    assert read_zone(zone.cookie) == zone


def test_counts_beyond_a_limit_say_so():
    assert words.count(10_000, limit=10_000) == "10,000"
    assert words.count(10_001, limit=10_000) == "10,000+"


def test_ids_that_share_a_beginning_differ_in_short():
    one, other = "01a20452-06ba-734e-9cca-25cf0fe5bfd9", "01a20452-06ba-734e-9cca-25cf0fe5b000"
    assert words.short_id(one) == "01a2…bfd9" != words.short_id(other)


@pytest.mark.parametrize(
    ("number", "text"), [(17, "17 B"), (2048, "2.0 KiB"), (5 * 1024**2, "5.0 MiB")]
)
def test_sizes(number, text):
    assert words.size(number) == text
