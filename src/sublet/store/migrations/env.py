"""Alembic's entry: migrations run on the engine that the program already has."""

from alembic import context

from sublet.store.schema import metadata

engine = context.config.attributes["engine"]
apart = engine.dialect.name != "sqlite"  # each step is committed by itself, so that no lock outlasts it
with engine.connect() if apart else engine.begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=apart)
    with context.begin_transaction():
        context.run_migrations()
