"""What was measured on borrowed biases is told from what was measured on a set's own."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Name the method of what older runs measured on borrowed biases alone."""
    measurement = sa.table("measurement", *(sa.column(name) for name in ("run_id", "quantity", "method")))
    used = sa.table("run_input", *(sa.column(name) for name in ("run_id", "role", "excluded", "borrowed")))
    biases = sa.select(used.c.run_id).where(used.c.role == "bias", used.c.excluded.is_(None))
    own = biases.where(used.c.borrowed.is_(sa.false()))
    op.execute(
        measurement.update()
        .where(
            measurement.c.quantity.in_(("read_noise", "read_noise_adu", "bias_level")),
            measurement.c.run_id.in_(biases.where(used.c.borrowed.is_(sa.true()))),
            measurement.c.run_id.not_in(own),
        )
        .values(method="borrowed biases")
    )
