"""What alembic runs: the migrations, on the connection that it was given."""

from alembic import context

from sipsilo.storage.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
