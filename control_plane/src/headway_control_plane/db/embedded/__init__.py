"""PostgreSQL as a part of `headway up`: found, initialised, started, watched and stopped by us.

One owner at a time (an flock), one data directory per major version, no TCP, and no postmaster that outlives its owner.
"""

from headway_control_plane.db.embedded.binaries import Binaries, find_binaries
from headway_control_plane.db.embedded.server import DATABASE, EmbeddedPostgres

__all__ = ["DATABASE", "Binaries", "EmbeddedPostgres", "find_binaries"]
