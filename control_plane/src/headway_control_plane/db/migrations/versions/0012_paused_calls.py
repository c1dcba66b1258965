"""Sums of an attempt's calls tell those that wait with their suspended run from those that were interrupted."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql_file(__file__)
