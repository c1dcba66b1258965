"""A flow that starts many runs of another one and waits for them all."""

import time
from pathlib import Path

from headway import flow, submit_deployment


@flow
def member(n: int, hold: str) -> int:
    """Goes on when there is a file `hold`."""
    while not Path(hold).exists():
        time.sleep(0.01)
    return n


@flow
def family(count: int, hold: str) -> int:
    """Gives the sum of what its children gave."""
    children = [submit_deployment("member", {"n": n, "hold": hold}) for n in range(count)]
    return sum(child.result().result() for child in children)
