from datetime import UTC, datetime, timedelta, timezone

from headway_control_plane.log import packed


def test_instants_are_exact_to_the_microsecond_and_over_time_zones():
    instant = datetime(2026, 11, 22, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=5)))
    assert packed.from_us(packed.to_us(instant)) == instant
    assert packed.to_us(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert packed.instant(instant) == packed.instant_us(packed.to_us(instant))


def test_ranges_are_packed_as_their_numbers():
    assert packed.int8_range(5, 3) == packed.int8(5) + packed.int8(6) + packed.int8(7)
    assert packed.int8_range(5, 0) == b""


def test_lists_of_texts_are_literals_that_survive_every_character():
    assert packed.text_list(['a"b', "c\\d", ""]) == packed.text('{"a\\"b","c\\\\d",""}')
    assert packed.text_list([]) == packed.text("{}")
