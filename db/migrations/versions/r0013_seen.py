"""What called for attention: who has looked at it, and who was told."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the tables; nothing has been looked at or told yet."""
    op.create_table(
        "seen",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_seen")),
    )
    op.create_table(
        "told",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("receiver", sa.String(length=16), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "receiver", name=op.f("pk_told")),
    )
