"""The gain and read noise that frames were calibrated with; of those before nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the column."""
    op.add_column("calibrated", sa.Column("readout", sa.JSON(), nullable=True))
