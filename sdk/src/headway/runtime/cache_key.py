"""Says, as one line of JSON on stdout, under which key a call of a task is cached; run by the user's own Python.

python -m headway.runtime.cache_key package.module:task --root DIR < {"arguments": {...}, "parameters": {...}, "environment": "default", "project": "", "pool": "local"}
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from headway.clock import now_us
from headway.definitions import Definition
from headway.entrypoints import use_root
from headway.runtime.binding import bind
from headway.runtime.cache_parts import key_of, parts_of, shared_parts_of
from headway.runtime.cache_scope import NoKey, Whose, whose_of

FAILED = 1


def describe(task: str, root: str, given: dict[str, Any]) -> dict[str, Any]:
    """`key`, `parts`, `expires_s`, and among agents `shared_key` and `shared_parts`, or `not_shared`, which says why there
    are none. Raises what the import raises.
    """
    whose = whose_of({**given, "root": root}, now_us())
    use_root(root)
    module, _, name = task.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, Definition) or found.kind != "task":
        raise TypeError(f"{task} is no task: name a function that has @task")
    if found.cache is None:
        raise NoKey(f"{task} does not use the cache: it has no option cache")
    arguments = bind(found, (), given["arguments"])
    parts = parts_of(found, arguments, whose, given["parameters"])
    return {
        **_shared(found, parts, whose),
        "key": key_of(parts),
        "parts": parts,
        "expires_s": found.cache_expires,
    }


def _shared(task: Definition, parts: Mapping[str, str], whose: Whose) -> dict[str, Any]:
    try:
        shared = shared_parts_of(task, parts, whose)
    except NoKey as error:
        return {"not_shared": str(error)}
    return {"shared_key": key_of(shared), "shared_parts": shared}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m headway.runtime.cache_key")
    parser.add_argument("task")
    parser.add_argument("--root", default=".")
    options = parser.parse_args(arguments)
    code = 0
    try:
        # What the module prints at import must not end up in the JSON.
        with contextlib.redirect_stdout(sys.stderr):
            answer = describe(options.task, options.root, json.load(sys.stdin))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's module may raise anything; all is told
        answer = {"error": str(error) or type(error).__name__}
        code = FAILED
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
