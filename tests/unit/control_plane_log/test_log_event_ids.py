from uuid import UUID

from headway_control_plane.log.event_ids import EventIds


def test_ids_are_uuid7_and_ascend():
    ids = EventIds(lambda: 1_800_000_000_000, lambda n: b"\x5a" * n)
    made = ids.take(1000)
    assert made == sorted(set(made))
    for each in (UUID(bytes=made[0]), UUID(bytes=made[-1])):
        assert (each.version, each.variant) == (7, "specified in RFC 4122")
        assert each.int >> 80 == 1_800_000_000_000


def test_counting_never_runs_into_the_variant():
    ids = EventIds(lambda: 1, lambda n: b"\xff" * n)
    made = ids.take(5000)
    assert {UUID(bytes=each).variant for each in made} == {"specified in RFC 4122"}
    assert {UUID(bytes=each).version for each in made} == {7}


def test_batches_of_one_millisecond_stay_apart():
    noise = iter([b"\x01" * 10, b"\x02" * 10])
    ids = EventIds(lambda: 1, lambda _: next(noise))
    assert not set(ids.take(1000)) & set(ids.take(1000))
