"""Marks that a flow under test leaves in a file, and the value that its process ended with."""

import json
from typing import Any

from support.flow_process import Outcome, Project

MARK = """
def mark(text):
    with open("marks", "a") as file:
        file.write(f"{text}\\n")
"""


def marks(project: Project) -> list[str]:
    path = project.root / "marks"
    return path.read_text().split() if path.exists() else []


def value(outcome: Outcome) -> Any:
    assert outcome.outcome == "completed", (outcome.ended, outcome.err)
    return json.loads(outcome.ended["result"]["data"])
