"""How each master was judged beside the one in force."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the table; masters that are in use stay in use, and it says since when and that nobody judged them."""
    certification = op.create_table(
        "certification",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("master_id", sa.Integer(), nullable=False),
        sa.Column("champion_id", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["master_id"], ["master.id"], name=op.f("fk_certification_master_id")),
        sa.ForeignKeyConstraint(["champion_id"], ["master.id"], name=op.f("fk_certification_champion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certification")),
        sa.UniqueConstraint("master_id", name=op.f("uq_certification_master_id")),
    )
    op.create_index(op.f("ix_certification_champion_id"), "certification", ["champion_id"])
    master = sa.table("master", *(sa.column(name) for name in ("id", "run_id", "kind", "verdict")))
    run = sa.table("run", *(sa.column(name) for name in ("id", "began_at", "ended_at")))
    in_use = (
        sa.select(
            master.c.id,
            sa.literal("certified"),
            sa.literal("made before masters were certified"),
            sa.literal({}, sa.JSON()),
            sa.func.coalesce(run.c.ended_at, run.c.began_at),
        )
        .join_from(master, run, master.c.run_id == run.c.id)
        .where(master.c.verdict != "bad", master.c.kind != "mask")
    )
    columns = ["master_id", "outcome", "reason", "figures", "judged_at"]
    op.execute(certification.insert().from_select(columns, in_use))
