"""Answers to what runs wait for have rows of their own: a new one no longer rewrites those before it."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql_file(__file__)
