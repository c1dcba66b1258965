"""Sub-flows are found like runs, and what lies within a call is found by its parent."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_file(__file__)
