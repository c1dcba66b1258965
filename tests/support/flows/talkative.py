"""A flow that says more than a narrow link carries at once."""

import random

from effects import mark

from headway import flow


@flow
def talkative(path: str, lines: int = 300, width: int = 1_000) -> int:
    """Prints random digits, which hardly get smaller when they are compressed."""
    mark(path, "flow")
    dice = random.Random(path)
    for _ in range(lines):
        print(dice.randbytes(width).hex())
    return lines
