"""Artifacts and metrics of runs, rows of the read model of the same name as the tasks'."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql_file(__file__)
