"""Wishes for runs that were refused stand in an index of their own: many of them make no look for new ones slower."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql_file(__file__)
