"""A flow that fills a disk with what it prints."""

from effects import mark, step

from headway import flow

LINE = "x" * 1000


@flow
def chatty(path: str, mebibytes: int) -> int:
    mark(path, "flow")
    for _ in range(mebibytes * 1024):
        print(LINE)
    return step(path, 1, 0.0)
