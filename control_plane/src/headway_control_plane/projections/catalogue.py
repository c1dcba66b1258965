"""The catalogue that use cases look things up in, over the inline rows."""

from headway_control_plane.application.catalogue import DeployedFlow, NamedPool
from headway_control_plane.projections.deployments import find_deployment
from headway_control_plane.projections.pools import find_pool
from headway_control_plane.projections.reading import Reads


class RowCatalogue:
    """Reads in a transaction of its own for each question."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def deployment(self, ws: int, id_or_name: str) -> DeployedFlow | None:
        async with self._reads.workspace(ws, by_key=True) as connection:
            return await find_deployment(connection, ws, id_or_name)

    async def pool(self, ws: int, id_or_name: str) -> NamedPool | None:
        async with self._reads.workspace(ws, by_key=True) as connection:
            return await find_pool(connection, ws, id_or_name)
