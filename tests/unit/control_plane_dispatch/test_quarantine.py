"""What fails alone is set aside alone, for longer and longer, and comes back by itself."""

import asyncio
from dataclasses import dataclass

import pytest
from psycopg import OperationalError

from headway_control_plane.dispatch.quarantine import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Quarantine,
    piecewise,
)


@dataclass
class Clock:
    at: float = 100.0

    def monotonic(self) -> float:
        return self.at


def test_the_pause_doubles_up_to_a_limit_and_success_forgets() -> None:
    clock = Clock()
    quarantine = Quarantine[int]("workspace", clock)
    pauses = []
    for _ in range(12):
        quarantine.set_aside(7, ValueError())
        assert quarantine.rests(7)
        pauses.append(quarantine.next_try() - clock.at)
        clock.at = quarantine.next_try()
        assert not quarantine.rests(7)
        assert quarantine.due() == [7]
        assert quarantine.due() == [], "each failure makes it due once"
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    quarantine.works(7)
    assert len(quarantine) == 0
    quarantine.set_aside(7, ValueError())
    assert quarantine.next_try() - clock.at == FIRST_PAUSE


def test_what_is_never_heard_of_again_is_let_go() -> None:
    clock = Clock()
    quarantine = Quarantine[int]("stream", clock)
    quarantine.set_aside(7, ValueError())
    clock.at += FIRST_PAUSE + LONGEST_PAUSE
    quarantine.prune()
    assert len(quarantine) == 1
    clock.at += 1
    quarantine.prune()
    assert len(quarantine) == 0


@pytest.mark.parametrize("bad", [set(), {0}, {3, 4}, {9}, set(range(10))])
async def test_only_what_fails_alone_is_set_aside(bad: set[int]) -> None:
    calls, aside = 0, {}

    async def act(some: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if bad & set(some):
            raise ValueError
        return some

    parts = await piecewise(range(10), act, aside.__setitem__)
    assert sorted(key for part in parts for key in part) == sorted(set(range(10)) - bad)
    assert aside.keys() == bad
    assert calls == 1 or bad


async def test_an_outage_is_nobodys_fault() -> None:
    async def act(_: list[int]) -> None:
        raise OperationalError

    with pytest.raises(OperationalError):
        await piecewise([1, 2], act, lambda *_: pytest.fail("set aside"))
