"""The flow's own word for the state of its code, with the deployment and with each run made from it."""

from headway_control_plane.db.migrations.sql_file import run_sql_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql_file(__file__)
