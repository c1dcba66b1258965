"""Who asks again for a run that was refused is told so again."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql_file(__file__)
