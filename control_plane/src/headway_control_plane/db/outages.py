"""Which errors mean that the database or the log is away for a while: waited out, never taken for a mistake of ours."""

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from headway_control_plane.application.ports import Unavailable

OUTAGES: tuple[type[Exception], ...] = (OperationalError, PoolTimeout, Unavailable)
