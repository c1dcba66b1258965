"""An index by which an agent is found before its workspace is known."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_file(__file__)
