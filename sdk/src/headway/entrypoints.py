"""From `package.module:name` to the flow."""

from __future__ import annotations

import importlib
import importlib.util
import os
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
        EntrypointNotFound: No such module below the root, or no such name in it.
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
        _check_place(name)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # An import inside the module may fail likewise: that is the module's failure and tells its own story.
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise EntrypointNotFound(
            f"no module {name!r} below {sys.path[0]}: {error}; is the root right?"
        ) from None


def _check_place(name: str) -> None:
    """Whoever names entry points must not get other code executed than the operator gave: not even imported.

    Each part is looked at before it is imported; finding a part imports those before it.
    """
    root = sys.path[0]
    below = f"{root.rstrip(os.sep)}{os.sep}"
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:count]))
        except ValueError as error:  # a module without a place, as __main__ is
            raise EntrypointNotFound(f"module {name!r} cannot be an entry point: {error}") from None
        if spec is None:
            return  # the import says so in its own words
        if spec.origin is None:
            continue  # a namespace: what counts is what is in it
        if spec.origin.startswith(below):
            continue  # as for each attempt of a kept process
        if not Path(spec.origin).resolve().is_relative_to(root):
            raise EntrypointNotFound(
                f"module {spec.name!r} lies in {spec.origin}, not below the root {root}: deploy with the root that holds it"
            )
