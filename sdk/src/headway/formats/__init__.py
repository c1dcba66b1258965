"""Codecs for values of packages that the user has: each module here is loaded when a value, or a kept result, is of its package.

No package is imported before that, so none is needed, and none makes `import headway` slower.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logging import Logger

MODULES = {
    "numpy": "headway.formats.numpy_values",
    "pandas": "headway.formats.pandas_values",
    "polars": "headway.formats.polars_values",
    "pyarrow": "headway.formats.arrow_values",
}
"""By the package that a type, or the name of a codec, begins with."""

_loaded: set[str] = set()


def load(name: str) -> Mapping[type, Any]:
    """The codecs for a type's module or a codec's name, by type, unless they were given before."""
    package = name.partition(".")[0]
    module = MODULES.get(package)
    if module is None or package in _loaded:
        return {}
    _loaded.add(package)
    try:
        found: Mapping[type, Any] = import_module(module).CODECS
    except Exception as error:  # noqa: BLE001 - a package of another major, or half of one: it has no codec then
        _log().warning("values of %s have no codec, for it is not as expected: %r", package, error)
        return {}
    return found


def _log() -> Logger:
    """Importing logging costs more than all else here."""
    found: Logger = import_module("logging").getLogger("headway")
    return found


def is_ours(name: str) -> bool:
    """Whether a codec's name is kept for one of these packages."""
    return name.partition(".")[0] in MODULES
