"""The standard streams of a process of the flow."""

import sys
from contextlib import suppress


def flush_output() -> None:
    """Hands on what was printed so far."""
    for stream in (sys.stdout, sys.stderr):
        # User code may have closed it or put anything in its place; that is no other end of the flow.
        with suppress(Exception):
            stream.flush()
