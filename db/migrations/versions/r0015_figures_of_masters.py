"""What the price of a master is reckoned from: read from the files of those on record when it is first asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "master_figures",
        sa.Column("master_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("columns", sa.Integer(), nullable=True),
        sa.Column("amplifiers", sa.String(), nullable=True),
        sa.Column("uncertainty", sa.Double(), nullable=True),
        sa.Column("level", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["master_id"], ["master.id"], name=op.f("fk_master_figures_master_id")),
        sa.PrimaryKeyConstraint("master_id", name=op.f("pk_master_figures")),
    )
    op.create_table(
        "master_shift",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("master_id", sa.Integer(), nullable=False),
        sa.Column("earlier_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("days", sa.Double(), nullable=False),
        sa.Column("kelvin", sa.Double(), nullable=False),
        sa.Column("half_square", sa.Double(), nullable=False),
        sa.Column("error", sa.Double(), nullable=False),
        sa.Column("frame_variance", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["master_id"], ["master.id"], name=op.f("fk_master_shift_master_id")),
        sa.ForeignKeyConstraint(["earlier_id"], ["master.id"], name=op.f("fk_master_shift_earlier_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_master_shift")),
    )
    op.create_index(op.f("ix_master_shift_kind_id"), "master_shift", ["kind", "id"])
    op.create_index(op.f("ix_master_shift_master_id"), "master_shift", ["master_id"])
    op.create_index(op.f("ix_master_shift_earlier_id"), "master_shift", ["earlier_id"])
