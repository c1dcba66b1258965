"""One Headway for all that is looked at here."""

from collections.abc import Iterator

import pytest

from support.stack import Stack, stack


@pytest.fixture(scope="session")
def headway(tmp_path_factory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("h")) as running:
        yield running
