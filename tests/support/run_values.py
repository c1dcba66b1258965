"""What a flow process returned, as a test wants it."""

import json
from typing import Any

from support.flow_process import Outcome


def value(outcome: Outcome) -> Any:
    """The flow's value; a failed flow fails the test with what it said."""
    assert outcome.outcome == "completed", (outcome.ended, outcome.err)
    return json.loads(outcome.ended["result"]["data"])
