"""What people said of frames, masters, measurements and instruments."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "judgement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("said", sa.String(length=16), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=True),
        sa.Column("master_id", sa.Integer(), nullable=True),
        sa.Column("measurement_id", sa.Integer(), nullable=True),
        sa.Column("instrument", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("takes_back_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_judgement_frame_id")),
        sa.ForeignKeyConstraint(["master_id"], ["master.id"], name=op.f("fk_judgement_master_id")),
        sa.ForeignKeyConstraint(["measurement_id"], ["measurement.id"], name=op.f("fk_judgement_measurement_id")),
        sa.ForeignKeyConstraint(["takes_back_id"], ["judgement.id"], name=op.f("fk_judgement_takes_back_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgement")),
    )
    for column in ("frame_id", "master_id", "measurement_id", "instrument", "takes_back_id"):
        op.create_index(op.f(f"ix_judgement_{column}"), "judgement", [column])
