"""One index that answers for a trend."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Give trends their index, in place of one that knew no quantity."""
    op.create_index(
        "ix_measurement_trend",
        "measurement",
        [
            *("instrument_id", "quantity", "amplifier", "observed_at"),
            *("value", "uncertainty", "ccd_temperature_c", "unit", "filter", "run_id"),
        ],
    )
    op.drop_index(op.f("ix_measurement_instrument_id_amplifier_observed_at"), table_name="measurement")
