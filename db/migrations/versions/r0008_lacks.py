"""Products that a run did not make, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table, and put into it what is known of the runs there are: the frames they left out of a product."""
    lack = op.create_table(
        "lack",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("is_failure", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_lack_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lack")),
    )
    op.create_index(op.f("ix_lack_run_id"), "lack", ["run_id"])
    used = sa.table("run_input", *(sa.column(name) for name in ("run_id", "role", "excluded")))
    product = sa.func.substr(used.c.role, len("for ") + 1)
    known = (
        sa.select(used.c.run_id, product, sa.func.min(used.c.excluded), sa.false())
        .where(used.c.role.like("for %"), used.c.excluded.is_not(None))
        .group_by(used.c.run_id, used.c.role)
    )
    op.execute(lack.insert().from_select(["run_id", "product", "reason", "is_failure"], known))
