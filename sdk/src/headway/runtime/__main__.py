"""`python -m headway.runtime --fd N`: the template process. Started by the agent, never by hand."""

import argparse
import importlib
import socket
from collections.abc import Callable, Sequence

from headway.runtime.flow_process import Child
from headway.runtime.template import Template

CHILD = "headway.runtime.child:run_attempt"


def child_named(name: str) -> Child:
    """Imports the child in the template, once: a fork then has it for nothing, where each attempt would pay 30 ms."""
    module, _, function = name.partition(":")
    child: Child = getattr(importlib.import_module(module), function)
    return child


def _rehearsals() -> Sequence[Callable[[], None]]:
    from headway.runtime.rehearsal import ROUNDS, rehearse  # noqa: PLC0415 - of the standard child

    return [rehearse] * ROUNDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m headway.runtime")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the agent")
    parser.add_argument(
        "--child", default=CHILD, help="for tests: module:function that runs in the flow process"
    )
    parser.add_argument(
        "--allow-faults", action="store_true", help="for tests: honour `fault` in start.json"
    )
    args = parser.parse_args()
    with socket.socket(fileno=args.fd) as sock:
        sock.set_inheritable(False)
        child = child_named(args.child)
        rehearsals = _rehearsals() if args.child == CHILD else ()
        Template(sock, child, rehearsals, allow_faults=args.allow_faults).serve()


if __name__ == "__main__":
    main()
