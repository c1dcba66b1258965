"""An agent that has just come back gets time to say what it began."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql_file(__file__)
