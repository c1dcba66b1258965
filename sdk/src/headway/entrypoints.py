"""From `package.module:name` to the flow."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from headway.errors import EntrypointNotFound, NotAFlow
from headway.flows import Flow


def use_root(root: str) -> None:
    """Makes `root` the first place to import from."""
    path = str(Path(root).resolve())
    if sys.path[:1] != [path]:
        sys.path.insert(0, path)
    importlib.invalidate_caches()


def load_flow(entrypoint: str) -> Flow[..., object]:
    """Imports the flow.

    Raises:
        EntrypointNotFound: No such module, or no such name in it.
        NotAFlow: The name is there and is something else.
        Exception: Whatever the import of the module raises.
    """
    module_name, _, name = entrypoint.partition(":")
    if not module_name or not name:
        raise EntrypointNotFound(f"entry point {entrypoint!r} does not read `package.module:name`")
    found: object = _module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise EntrypointNotFound(
                f"module {module_name!r} has no {name!r}; deploy again if it was renamed"
            )
        found = getattr(found, part)
    if not isinstance(found, Flow):
        raise NotAFlow(
            f"{entrypoint} is a {type(found).__name__}, not a flow: decorate it with @flow"
        )
    return found


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # An import inside the module may fail likewise: that is the module's failure and tells its own story.
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise EntrypointNotFound(
            f"no module {name!r} below {sys.path[0]}: {error}; is the root right?"
        ) from None
