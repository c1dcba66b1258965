"""A Headway whose PostgreSQL is at the far end of a network; this side of it keeps a way in that is never cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headway_control_plane.db.embedded import Binaries, EmbeddedPostgres
from headway_control_plane.db.embedded.data_directory import SUPERUSER, password_file
from headway_control_plane.db.embedded.privilege import Descent, choose_descent, runs
from headway_control_plane.db.embedded.server import DATABASE
from support.netns import Network, network
from support.stack import Stack, stack

PORT = 5432


class HeadwayOverNetwork:
    """What load needs of a rig. `database_url` goes by a socket in the file system, past the network."""

    def __init__(self, headway: Stack, net: Network, database_url: str) -> None:
        self.headway, self.net, self.database_url = headway, net, database_url
        self.api, self.run_directories = headway.api, headway.run_directories
        self.deploy = headway.deploy


@contextmanager
def far_postgres(home: Path, binaries: Binaries, net: Network) -> Iterator[EmbeddedPostgres]:
    """A server in the namespace; it takes the control plane's password over the wire."""
    down = choose_descent(0, home / "pg", probe=runs)
    inside = Descent((*net.prefix, *down.prefix), down.owner)
    reach = {"listen_addresses": net.there, "port": str(PORT)}
    postgres = EmbeddedPostgres(home, binaries, overrides=reach, descent=inside)
    try:
        postgres.prepare()
        with (postgres.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {net.here}/32 scram-sha-256\n")
        postgres.start()
        yield postgres
    finally:
        postgres.release()


@contextmanager
def headway_over_network(
    home: Path, directory: Path, binaries: Binaries, **options: Any
) -> Iterator[HeadwayOverNetwork]:
    with network() as net, far_postgres(directory, binaries, net) as postgres:
        file = password_file(postgres.data)
        url = f"postgresql://{SUPERUSER}@{net.there}:{PORT}/{DATABASE}?passfile={file}"
        with stack(home, HEADWAY_DATABASE_URL=url, **options) as headway:
            try:
                yield HeadwayOverNetwork(headway, net, postgres.url())
            finally:
                net.heal()
