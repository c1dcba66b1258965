"""`python -m headway.introspect ENTRYPOINT --root DIR`: what a deployment has to know of a flow, as JSON.

`headway deploy` runs it under the interpreter that will execute the flow. Exit code 0 with the description, or 2 with
`{"error": {"class", "message"}}`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
from collections.abc import Sequence
from typing import Any

from headway import parameters
from headway.entrypoints import load_flow, use_root
from headway.sources import code_hash
from headway.version import __version__

FAILED = 2


def describe(entrypoint: str, root: str) -> dict[str, Any]:
    """Imports the flow below `root` and describes it.

    Raises EntrypointError, or whatever the module raises at import.
    """
    use_root(root)
    flow = load_flow(entrypoint)
    delays = flow.run_retries.listed()
    return {
        "entrypoint": entrypoint,
        "flow": flow.name,
        "description": flow.description,
        "version": flow.version,
        "tags": list(flow.tags),
        "retries": flow.run_retries.limit,
        "retry_delay_s": delays[0] if len(delays) == 1 else list(delays),
        "on_lost": flow.on_lost,
        "isolation": flow.isolation,
        "max_runs_per_process": flow.max_runs_per_process,
        "max_memory_mb": flow.max_memory_mb,
        "cancel_grace_s": flow.cancel_grace,
        "parameter_schema": parameters.schema(flow),
        "parameter_defaults": parameters.defaults(flow),
        "code_hash": code_hash(entrypoint, root),
        "sdk": __version__,
        "python": platform.python_version(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m headway.introspect", description=__doc__)
    parser.add_argument("entrypoint", help="package.module:name")
    parser.add_argument("--root", default=".", help="the directory to import from")
    given = parser.parse_args(arguments)
    code = 0
    try:
        # What the module prints at import must not end up in the JSON.
        with contextlib.redirect_stdout(sys.stderr):
            answer = describe(given.entrypoint, given.root)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's module may raise anything; all is told
        answer = {
            "error": {
                "class": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix(
                    "builtins."
                ),
                "message": str(error),
            }
        }
        code = FAILED
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
