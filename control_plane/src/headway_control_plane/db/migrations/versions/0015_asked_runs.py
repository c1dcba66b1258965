"""A run may be asked for by several calls, all of which hear of its end; and why there is none is kept for the pages."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql_file(__file__)
