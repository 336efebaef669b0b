"""Serial numbers that headers give, and compression that changed pixels."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("frame", sa.Column("serial", sa.String(), nullable=True))
    op.add_column("frame", sa.Column("lossy", sa.String(), nullable=True))
