"""How the flow's process tells its supervisor of a secret: no fact, never written down, answered once it is known."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from headway.runtime.secret_forms import as_bytes


def announcement(call: str, at_us: int, name: str, value: str) -> dict[str, Any]:
    """`call` stands in the answer, as in that to a durable fact."""
    return {
        "type": "secret",
        "at_us": at_us,
        "call": call,
        "durable": "sync",
        "name": name,
        "value": b64encode(as_bytes(value)).decode(),
    }


def kept_variables(start: Mapping[str, Any]) -> Mapping[str, str]:
    """Variables of the environment that hold secrets, and the names of these. start.json has no values of them: they
    come down from the template's environment, and are known to the supervisor from the beginning.
    """
    configured = start.get("secrets")
    kept = configured.get("kept") if isinstance(configured, Mapping) else None
    return kept if isinstance(kept, Mapping) else {}


def announced(frame: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the value of a `secret` frame."""
    return str(frame["name"]), b64decode(frame["value"]).decode("utf-8", "surrogateescape")
