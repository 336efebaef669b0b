"""Alembic's entry: runs on the connection, and in the transaction, that `db.engine.upgrade` hands over."""

from alembic import context

from db.schema import calibrated, figures, models  # noqa: F401 - the tables must be known to Base
from db.schema.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
