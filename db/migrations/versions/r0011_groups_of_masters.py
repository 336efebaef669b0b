"""Masters of one exposure and one temperature, and the set point of coolers."""

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TOLERANCE_K = {"bias": 2.0, "dark": 0.5, "darkrate": 0.5}


def upgrade() -> None:
    """Add the columns; masters there are get what is known of the frames they were made of."""
    op.add_column("frame", sa.Column("set_temperature_c", sa.Double(), nullable=True))
    for name in ("exposure_s", "temperature_c", "group_c"):
        op.add_column("master", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("master", sa.Column("product", sa.String(), nullable=False, server_default=sa.text("''")))
    _fill()


def _fill() -> None:
    """Name masters, and group them; what was a master dark per second is a dark rate of unknown exposures."""
    bind = op.get_bind()
    tables = sa.MetaData()
    master, run, kept_set, used, frame = (
        sa.Table(name, tables, autoload_with=bind)
        for name in ("master", "run", "calibration_set", "run_input", "frame")
    )
    is_rate = sa.and_(master.c.kind == "dark", master.c.unit == "adu/s")
    bind.execute(sa.update(master).where(is_rate).values(kind="darkrate"))
    means = (
        sa.select(used.c.run_id, used.c.role, sa.func.avg(frame.c.ccd_temperature_c))
        .join(frame, used.c.frame_id == frame.c.id)
        .where(used.c.excluded.is_(None), used.c.borrowed.is_(False))
        .group_by(used.c.run_id, used.c.role)
    )
    temperatures = {(run_id, role): mean_c for run_id, role, mean_c in bind.execute(means)}
    labels: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    query = (
        sa.select(master.c.id, master.c.run_id, master.c.kind, master.c.filter)
        .add_columns(kept_set.c.instrument, kept_set.c.configuration)
        .join(run, master.c.run_id == run.c.id)
        .join(kept_set, run.c.calibration_set_id == kept_set.c.id)
        .order_by(master.c.valid_from, master.c.id)
    )
    for key, run_id, kind, filter_name, *camera in bind.execute(query).all():
        temperature_c = temperatures.get((run_id, "dark" if kind == "darkrate" else kind))
        group_c = None
        if temperature_c is not None and kind in _TOLERANCE_K:
            known = labels[kind, *camera]
            near = [one for one in known if abs(one - temperature_c) <= _TOLERANCE_K[kind]]
            group_c = min(near, key=lambda one: abs(one - temperature_c), default=round(temperature_c, 1))
            known += [] if near else [group_c]
        product = "bad pixels" if kind == "mask" else f"master {kind} {filter_name or ''}".strip()
        values = {"product": product, "temperature_c": temperature_c, "group_c": group_c}
        bind.execute(sa.update(master).where(master.c.id == key).values(values))
