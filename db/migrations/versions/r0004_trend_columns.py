"""Frame counts as columns, and a trend's index that answers for whole rows."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COUNTS = ("n_bias", "n_flat", "n_flat_pairs")


def upgrade() -> None:
    """Take the counts out of the details, once, and put them into the index with all else that a trend shows."""
    for name in _COUNTS:
        op.add_column("measurement", sa.Column(name, sa.Integer(), nullable=True))
    of = sa.table("measurement", sa.column("details", sa.JSON()), *(sa.column(name, sa.Integer()) for name in _COUNTS))
    op.execute(of.update().values({name: of.c.details[name].as_integer() for name in _COUNTS}))
    op.drop_index("ix_measurement_trend", table_name="measurement")
    op.create_index(
        "ix_measurement_trend",
        "measurement",
        [
            *("instrument_id", "quantity", "amplifier", "observed_at"),
            *("value", "uncertainty", "ccd_temperature_c", "unit", "filter", "run_id"),
            *("method", "remark", *_COUNTS),
        ],
    )
