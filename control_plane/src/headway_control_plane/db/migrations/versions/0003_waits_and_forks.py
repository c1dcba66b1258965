"""Runs that wait without a process, and runs that are made from runs."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_file(__file__)
