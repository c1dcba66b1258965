"""One Headway for the tests of this folder: starting it takes longer than a test."""

import pytest

from support.stack import stack


@pytest.fixture(scope="session")
def headway(tmp_path_factory):
    with stack(tmp_path_factory.mktemp("h")) as running:
        running.deploy("waiting:asks", "asks")
        running.deploy("waiting:asks_for_a_day", "asks_for_a_day")
        running.deploy("waiting:sleeps", "sleeps")
        running.deploy("waiting:pauses", "pauses")
        running.deploy("forking:pipeline", "pipeline")
        running.deploy("mapping:mapped", "mapped")
        running.deploy("waiting:suspends", "suspends")
        running.deploy("waiting:listens", "listens")
        running.deploy("waiting:hears_much", "hears-much")
        running.deploy("leaving:leaves", "leaves")
        for name in ("shares", "staged", "staged_patiently"):
            running.deploy(f"sharing:{name}", name.replace("_", "-"))
        for name in ("part", "breaks", "parent", "many", "gathers", "starts", "deeper"):
            running.deploy(f"children:{name}", name)
        running.deploy("children:asks_first", "asks_first")
        running.deploy("children:asks_and_works", "asks_and_works")
        running.deploy("telling:tells", "tells")
        running.deploy("telling:tells_again", "tells-again")
        for name in ("graded", "orders", "moves"):
            running.deploy(f"children:{name}", name)
        running.deploy("writing:writes", "writes")
        running.deploy("writing:told", "told")
        yield running
