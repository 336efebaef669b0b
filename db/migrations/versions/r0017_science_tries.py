"""What became of science frames that the service calibrates, and a quick way to those that landed lately."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the table, and an index by time of registration."""
    op.create_table(
        "science_try",
        sa.Column("frame_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("choices", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("is_failure", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_science_try_frame_id")),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_science_try")),
    )
    op.create_index(op.f("ix_frame_registered_at"), "frame", ["registered_at"])
