"""Whether the runs of a deployment share processes."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql_file(__file__)
