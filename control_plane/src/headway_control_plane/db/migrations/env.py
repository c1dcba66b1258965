"""Alembic's environment: migrations run on the connection that `db.migrate` hands over, each in its own transaction."""

from alembic import context
from alembic.util import CommandError

if context.is_offline_mode():
    raise CommandError("Headway migrates a live database only: run `headway server migrate`.")

context.configure(
    connection=context.config.attributes["connection"],
    transaction_per_migration=True,
    **context.config.attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
