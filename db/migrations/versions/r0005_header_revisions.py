"""What files said of their frames, one after the other; ctimes, and signatures of what runs read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table and the columns."""
    op.create_table(
        "header_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_header_revision_frame_id")),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name=op.f("fk_header_revision_file_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_header_revision")),
    )
    op.create_index(op.f("ix_header_revision_frame_id"), "header_revision", ["frame_id"])
    op.create_index(op.f("ix_header_revision_file_id"), "header_revision", ["file_id"])
    op.add_column("file", sa.Column("ctime_ns", sa.BigInteger(), nullable=True))
    op.add_column("calibration_set", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("run_input", sa.Column("signature", sa.String(), nullable=True))
