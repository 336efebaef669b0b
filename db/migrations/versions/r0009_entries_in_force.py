"""Which instrument entries the configuration holds."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; until the home is opened for work, the entries recorded last are taken for those in force."""
    op.add_column("instrument", sa.Column("in_force", sa.Boolean(), server_default=sa.false(), nullable=False))
    table = sa.table("instrument", *(sa.column(name) for name in ("name", "digest", "recorded_at", "in_force")))
    other = table.alias()
    latest = sa.select(sa.func.max(other.c.recorded_at)).where(other.c.name == table.c.name).scalar_subquery()
    op.execute(sa.update(table).where(table.c.digest != "", table.c.recorded_at == latest).values(in_force=sa.true()))
