"""Variables of the workspace: small JSON values that are set beside the code, by `headway variables set` or in the browser.

Everybody in the workspace sees them, and so does the control plane: what is secret belongs into `headway.secret`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from headway.errors import VariableNotFound

T = TypeVar("T")
JsonValue = Any
"""None, bool, int, float, str, or a list or dict of such."""
_MISSING: Any = ...

_installed: Mapping[str, JsonValue] | None = None


@overload
def get(name: str) -> JsonValue: ...
@overload
def get(name: str, default: T) -> JsonValue | T: ...
def get(name: str, default: Any = _MISSING) -> Any:
    """The variable's value, in flows and in tasks.

    All calls of an attempt see the variables as they were when it began, and at least as new as when the run was created. A
    later attempt may see newer ones; what it skips keeps the results that it had.

    Args:
        name: As it was set.
        default: Given for a variable that is not there.

    Raises:
        VariableNotFound: there is no such variable and no default; outside a run there are none.
    """
    values = _installed if _installed is not None else {}
    if name in values:
        return copy.deepcopy(values[name])
    if default is not _MISSING:
        return default
    raise VariableNotFound(name, in_run=_installed is not None)


def install(values: Mapping[str, JsonValue] | None) -> None:
    """Declares the present attempt's variables; None: this is no run."""
    global _installed
    _installed = values
