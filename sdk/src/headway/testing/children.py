"""What a test says of the runs that a flow has started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def ended_child(wait: Mapping[str, Any], given: Any, results: dict[str, Any]) -> dict[str, Any]:
    """As the control plane answers such a wait: an exception failed the run, anything else is what its flow returned."""
    failed = isinstance(given, BaseException)
    results[wait["run"]] = None if failed else given
    return {
        "run": wait["run"],
        "name": wait["name"],
        "state": "failed" if failed else "completed",
        "error_class": type(given).__name__ if failed else "",
        "fence": 1,
    }
