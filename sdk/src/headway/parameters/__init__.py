"""Parameters of flows: a JSON Schema from the type hints, and the check of given values by the same hints."""

from headway.errors import ParameterError, Problem
from headway.parameters.signature import apply, defaults, schema, validate

__all__ = ["ParameterError", "Problem", "apply", "defaults", "schema", "validate"]
