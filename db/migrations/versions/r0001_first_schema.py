"""First schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """First schema."""
    op.create_table(
        "calibration_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instrument", sa.String(), nullable=False),
        sa.Column("configuration", sa.String(), nullable=False),
        sa.Column("window_first_night", sa.Date(), nullable=False),
        sa.Column("window_nights", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_set")),
        sa.UniqueConstraint(
            "instrument", "configuration", "window_first_night", "window_nights", name=op.f("uq_calibration_set_window")
        ),
    )
    op.create_table(
        "instrument",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("entry", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instrument")),
        sa.UniqueConstraint("name", "digest", name=op.f("uq_instrument_name_digest")),
    )
    op.create_table(
        "frame",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("frame_type", sa.String(length=16), nullable=False),
        sa.Column("frame_type_reason", sa.String(), nullable=False),
        sa.Column("instrument", sa.String(), nullable=False),
        sa.Column("instrument_reason", sa.String(), nullable=False),
        sa.Column("configuration", sa.String(), nullable=False),
        sa.Column("date_obs", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exposure_time_s", sa.Double(), nullable=True),
        sa.Column("ccd_temperature_c", sa.Double(), nullable=True),
        sa.Column("filter", sa.String(), nullable=True),
        sa.Column("longitude_deg", sa.Double(), nullable=True),
        sa.Column("header_gain_e_per_adu", sa.Double(), nullable=True),
        sa.Column("header_read_noise_e", sa.Double(), nullable=True),
        sa.Column("n_averaged", sa.Integer(), nullable=False),
        sa.Column("amplifiers", sa.JSON(), nullable=False),
        sa.Column("statistics", sa.JSON(), nullable=False),
        sa.Column("night", sa.Date(), nullable=True),
        sa.Column("calibration_set_id", sa.Integer(), nullable=True),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("identified_with", sa.String(length=64), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["calibration_set_id"], ["calibration_set.id"], name=op.f("fk_frame_calibration_set_id")
        ),
        sa.ForeignKeyConstraint(["instrument_id"], ["instrument.id"], name=op.f("fk_frame_instrument_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame")),
        sa.UniqueConstraint("sha256", name=op.f("uq_frame_sha256")),
    )
    op.create_index(op.f("ix_frame_calibration_set_id"), "frame", ["calibration_set_id"])
    op.create_index(op.f("ix_frame_identified_with"), "frame", ["identified_with"])

    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("calibration_set_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("recipes", sa.JSON(), nullable=False),
        sa.Column("software", sa.JSON(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_started", sa.Double(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("superseded_by_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["calibration_set_id"], ["calibration_set.id"], name=op.f("fk_run_calibration_set_id")),
        sa.ForeignKeyConstraint(["superseded_by_id"], ["run.id"], name=op.f("fk_run_superseded_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint(
            "calibration_set_id", "digest", "attempt", name=op.f("uq_run_calibration_set_id_digest_attempt")
        ),
    )
    op.create_index(op.f("ix_run_outcome"), "run", ["outcome"])
    op.create_index(op.f("ix_run_superseded_by_id"), "run", ["superseded_by_id"])

    op.create_table(
        "file",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("relative_path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("file_sha256", sa.String(length=64), nullable=True),
        sa.Column("frame_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_file_frame_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file")),
        sa.UniqueConstraint("host", "root", "relative_path", name=op.f("uq_file_host_root_relative_path")),
    )
    op.create_index(op.f("ix_file_frame_id"), "file", ["frame_id"])
    op.create_index(op.f("ix_file_state_changed_at"), "file", ["state", "changed_at"])

    op.create_table(
        "master",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("filter", sa.String(), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("n_combined", sa.Integer(), nullable=False),
        sa.Column("n_excluded", sa.Integer(), nullable=False),
        sa.Column("statistics", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("remark", sa.String(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_master_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_master")),
        sa.UniqueConstraint("path", name=op.f("uq_master_path")),
    )
    op.create_index(op.f("ix_master_run_id"), "master", ["run_id"])
    op.create_index(op.f("ix_master_sha256"), "master", ["sha256"])

    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("amplifier", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("uncertainty", sa.Double(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("filter", sa.String(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("ccd_temperature_c", sa.Double(), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remark", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["instrument_id"], ["instrument.id"], name=op.f("fk_measurement_instrument_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_measurement_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurement")),
    )
    op.create_index(
        op.f("ix_measurement_instrument_id_amplifier_observed_at"),
        "measurement",
        ["instrument_id", "amplifier", "observed_at"],
    )
    op.create_index(op.f("ix_measurement_run_id"), "measurement", ["run_id"])

    op.create_table(
        "run_input",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=True),
        sa.Column("master_id", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("excluded", sa.String(), nullable=True),
        sa.Column("borrowed", sa.Boolean(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("file_sha256", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_run_input_frame_id")),
        sa.ForeignKeyConstraint(["master_id"], ["master.id"], name=op.f("fk_run_input_master_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_input_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_input")),
    )
    op.create_index(op.f("ix_run_input_frame_id"), "run_input", ["frame_id"])
    op.create_index(op.f("ix_run_input_master_id"), "run_input", ["master_id"])
    op.create_index(op.f("ix_run_input_run_id"), "run_input", ["run_id"])
