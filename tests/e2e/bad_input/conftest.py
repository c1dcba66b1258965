"""One Headway for a module's worth of misbehaviour."""

import pytest

from support.misbehaviour import declare
from support.stack import TERMINAL, stack

FLOWS = [
    "echoes", "says_the_unsayable", "raises_the_unsayable", "returns_a_large_value", "returns_an_object", "exits_hard", "exits",
    "says_no_more", "recurses", "raises_a_huge_message", "prints_a_long_line", "prints_many_lines", "is_stubborn", "leaves_children",
    "sleeps", "hangs_in_c", "is_busy", "waits",
]  # fmt: skip


@pytest.fixture(scope="module")
def headway(tmp_path_factory):
    with stack(tmp_path_factory.mktemp("h")) as running:
        running.deploy("bad_manners:typed", "typed")
        for name in FLOWS:
            declare(running, name.replace("_", "-"), f"bad_manners:{name}")
        yield running


@pytest.fixture(autouse=True)
def whole(request):
    """After each test no run is left, and every invariant holds."""
    running = request.getfixturevalue("headway") if "headway" in request.fixturenames else None
    yield
    if running is not None:
        for run in running.api("GET", "/runs?limit=50")["items"]:
            if run["state"] not in TERMINAL:
                running.api("POST", f"/runs/{run['id']}/cancel", {})
                running.ended(run["id"])
        assert running.violations() == []
