"""A parameter that is a secret: in JSON its name."""

from __future__ import annotations

from typing import Any

from headway.errors import Problem, SecretError
from headway.parameters.shapes import Definitions, Problems, Schema
from headway.secrets import Secret


class SecretName:
    """The hint `headway.Secret`."""

    label = "the name of a secret"

    def schema(self, _definitions: Definitions) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": 100, "description": self.label}

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        try:
            return Secret(value)
        except SecretError:
            # Not repeated: it may be the value, given in the name's place.
            problems.append(Problem(path, f"expected {self.label}, and this can be none"))
            return None
