"""A small flow with a map."""

from headway import flow, task


@task
def double(n: int) -> int:
    return 2 * n


@task
def add(*numbers: int) -> int:
    return sum(numbers)


@flow
def sums(n: int = 3) -> int:
    return add(*double.map(range(n)).result())
