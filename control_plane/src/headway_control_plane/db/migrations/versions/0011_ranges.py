"""A row of the task timeline may stand for a range of calls, and a call may have a name of its own."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql_file(__file__)
