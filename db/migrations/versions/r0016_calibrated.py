"""Frames that were calibrated, and by which masters."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_KINDS = ("bias", "dark", "flat", "mask")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "calibrated",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("frame_sha256", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.JSON(), nullable=False),
        *(sa.Column(f"{kind}_id", sa.Integer(), nullable=True) for kind in _KINDS),
        sa.Column("prices", sa.JSON(), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("software", sa.JSON(), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_calibrated_frame_id")),
        *(
            sa.ForeignKeyConstraint([f"{kind}_id"], ["master.id"], name=op.f(f"fk_calibrated_{kind}_id"))
            for kind in _KINDS
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrated")),
    )
    for column in ("frame_id", *(f"{kind}_id" for kind in _KINDS), "path", "sha256", "superseded_at"):
        op.create_index(op.f(f"ix_calibrated_{column}"), "calibrated", [column])
