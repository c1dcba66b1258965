"""Migrations are SQL first: a revision module names its place in the chain, the file beside it holds the statements."""

from pathlib import Path

from alembic import op


def run_sql_file(revision_module: str) -> None:
    """Run the .sql file of the same name, as it stands, in the revision's transaction."""
    statements = Path(revision_module).with_suffix(".sql").read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    # Without parameters psycopg sends the text in one piece, so that nothing in it needs escaping.
    driver.execute(statements)
    # A file may act as another role and look elsewhere; Alembic's own statements must not.
    driver.execute("RESET ROLE; RESET search_path")
