"""pytest's plugin: the fixtures `headway` and `headway_run`. Loaded by pytest itself in projects that have the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headway.testing import Harness


@pytest.fixture
def headway() -> Iterator[Harness]:
    """A harness that runs flows in memory: `headway.run(flow, **parameters)`, `headway.clock`."""
    from headway.testing import harness  # noqa: PLC0415 - pytest loads this module in tests without flows too

    with harness() as made:
        yield made


@pytest.fixture
def headway_run(headway: Harness) -> Any:
    """Runs a flow in memory and gives the run: `headway_run(flow, **parameters)`."""
    return headway.run
