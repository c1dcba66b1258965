"""The catalogue that use cases look things up in, over the inline rows."""

from headway_control_plane.application.catalogue import DeployedFlow, NamedPool
from headway_control_plane.projections.deployments import find_deployment
from headway_control_plane.projections.pools import find_pool
from headway_control_plane.projections.reading import Reads

MOST_REMEMBERED = 1_000


class RowCatalogue:
    """Reads in a transaction of its own for each question, and remembers the deployments that it found last."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._found: dict[tuple[int, str], DeployedFlow] = {}

    async def deployment(
        self, ws: int, id_or_name: str, *, remembered: bool = False
    ) -> DeployedFlow | None:
        key = ws, id_or_name
        if remembered and (known := self._found.get(key)) is not None:
            return known
        async with self._reads.workspace(ws, by_key=True) as connection:
            found = await find_deployment(connection, ws, id_or_name)
        self._found.pop(key, None)
        if found is not None:
            self._found[key] = found
            if len(self._found) > MOST_REMEMBERED:
                del self._found[next(iter(self._found))]  # the one that was looked up longest ago
        return found

    async def pool(self, ws: int, id_or_name: str) -> NamedPool | None:
        async with self._reads.workspace(ws, by_key=True) as connection:
            return await find_pool(connection, ws, id_or_name)
