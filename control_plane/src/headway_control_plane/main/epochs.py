"""What `headway log new-epoch` does."""

from headway_control_plane.application.ports import Cursor
from headway_control_plane.db.roles import Role
from headway_control_plane.log.epochs import begin_epochs
from headway_control_plane.main.stores import open_database
from headway_control_plane.settings import Settings


async def begin(settings: Settings) -> list[tuple[str, Cursor]]:
    async with open_database(settings, (Role.AUTH, Role.COMMITTER)) as database:
        return await begin_epochs(database)
