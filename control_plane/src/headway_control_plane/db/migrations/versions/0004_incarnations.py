"""An earlier process of an agent never takes a session from a later one."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_file(__file__)
