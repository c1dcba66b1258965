"""Codecs for values of packages that the user has: each module here is loaded when a value, or a kept result, is of its package.

No package is imported before that, so none is needed, and none makes `import headway` slower.
"""

from __future__ import annotations

from importlib import import_module

MODULES = {
    "numpy": "headway.formats.numpy_values",
    "pandas": "headway.formats.pandas_values",
    "polars": "headway.formats.polars_values",
    "pyarrow": "headway.formats.arrow_values",
}
"""By the package that a type, or the name of a codec, begins with."""

_loaded: set[str] = set()


def load(name: str) -> bool:
    """Registers the codecs for a type's module or a codec's name; whether that has brought new ones."""
    package = name.partition(".")[0]
    module = MODULES.get(package)
    if module is None or package in _loaded:
        return False
    import_module(module)
    _loaded.add(package)
    return True


def is_ours(name: str) -> bool:
    """Whether a codec's name is kept for one of these packages."""
    return name.partition(".")[0] in MODULES
