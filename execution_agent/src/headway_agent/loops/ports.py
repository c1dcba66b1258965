"""What the loops need of the world besides the runner and a stream."""

from typing import Protocol

from headway_agent.connection.messages import Witness


class Witnesses(Protocol):
    """Keeps what acknowledgements said of the log."""

    async def keep(self, witness: Witness) -> None:
        """Durable when it returns."""

    async def last(self) -> Witness | None:
        """The newest place seen."""


class Random(Protocol):
    def random(self) -> float:
        """In [0, 1)."""
