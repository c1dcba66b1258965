"""Flows that do nothing but map."""

import resource
from pathlib import Path

from headway import flow, task


@task
def nothing(n: int) -> int:
    return n


@flow
def mapped(items: int) -> int:
    """Gives the most memory that the process took, in kilobytes."""
    for future in nothing.map(range(items)):
        future.result()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@task
def last(broken: str) -> None:
    if Path(broken).exists():
        raise ValueError("broken")


@flow
def mapped_and_failed(items: int, broken: str) -> None:
    """Fails behind its map as long as there is a file `broken`."""
    for future in nothing.map(range(items)):
        future.result()
    last(broken)
