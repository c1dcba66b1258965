"""Time, ids and randomness of the process: made here, handed to everything else."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from headway_control_plane.clock import Clock, SystemClock
from headway_control_plane.ids import IdSource, Uuid7Source


@dataclass(frozen=True, slots=True)
class Sources:
    """What must not be read where it is used, or no test could repeat what happened."""

    clock: Clock
    ids: IdSource
    entropy: Callable[[int], bytes]
    random: random.Random

    @classmethod
    def real(cls) -> Self:
        clock = SystemClock()
        return cls(clock, Uuid7Source(clock, os.urandom), os.urandom, random.SystemRandom())
