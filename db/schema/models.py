"""The tables. Columns carry their units; nothing here is ever overwritten by a newer result."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Enum, ForeignKey, Index, Integer, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base, PathText


class FileState(StrEnum):
    """Where a file is in its life."""

    SEEN = "seen"
    SETTLING = "settling"
    READY = "ready"
    CLAIMED = "claimed"
    DONE = "done"
    QUARANTINED = "quarantined"


class Outcome(StrEnum):
    """How a run ended; only what is done is shown to users."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


def _text_enum(kind: type[StrEnum]) -> Enum:
    return Enum(kind, native_enum=False, length=16, values_callable=lambda members: [str(m) for m in members])


class Home(Base):
    """The home that the database belongs to: one row."""

    __tablename__ = "home"

    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    mark: Mapped[str] = mapped_column(String(32))
    """In the home too."""
    path: Mapped[str] = mapped_column(PathText)
    machine: Mapped[str]
    """Where it was last opened."""
    host: Mapped[str]
    """The name that its files are on record under."""


class File(Base):
    """Bytes at a path; ``frame_id`` says which frame they hold, once they have been read."""

    __tablename__ = "file"
    __table_args__ = (
        UniqueConstraint("host", "root", "relative_path"),
        Index(None, "state", "changed_at"),
    )

    # PostgreSQL spends a number on every file that is observed, whether it is new or not.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    host: Mapped[str]
    root: Mapped[str] = mapped_column(PathText)
    relative_path: Mapped[str] = mapped_column(PathText)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    inode: Mapped[int] = mapped_column(BigInteger)
    ctime_ns: Mapped[int | None] = mapped_column(BigInteger)
    """Not part of the signature, since links and backups change it; of a file in quarantine it says what was done."""
    state: Mapped[FileState] = mapped_column(_text_enum(FileState))
    state_since: Mapped[datetime]
    reason: Mapped[str | None]
    changed_at: Mapped[datetime]
    """When its signature last changed: about when the last byte arrived."""
    first_seen_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    claimed_by: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    """Until when the claim holds; of a file that is settling, until when it rests before the next try."""
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    frame_id: Mapped[int | None] = mapped_column(ForeignKey("frame.id"), index=True)


class Instrument(Base):
    """One version of an instrument entry; its limits (``spec``) are always the ones in force."""

    __tablename__ = "instrument"
    __table_args__ = (UniqueConstraint("name", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64))
    """Of the entry; empty for frames that no entry matches."""
    entry: Mapped[dict[str, Any]]
    spec: Mapped[dict[str, Any]]
    valid_from: Mapped[datetime | None]
    valid_to: Mapped[datetime | None]
    recorded_at: Mapped[datetime]
    in_force: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the configuration held it when the home was last opened for work."""


class CalibrationSet(Base):
    """The frames of one instrument and configuration in one window of nights."""

    __tablename__ = "calibration_set"
    __table_args__ = (
        UniqueConstraint(
            "instrument", "configuration", "window_first_night", "window_nights", name="uq_calibration_set_window"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    instrument: Mapped[str]
    configuration: Mapped[str]
    window_first_night: Mapped[date]
    window_nights: Mapped[int]
    changed_at: Mapped[datetime | None]
    """When the meaning of a frame last changed that is, or was, in it or used by its results."""


class Frame(Base):
    """One detector's image: its pixels' hash, what identification made of it, its statistics."""

    __tablename__ = "frame"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    rows: Mapped[int]
    columns: Mapped[int]
    frame_type: Mapped[str] = mapped_column(String(16))
    frame_type_reason: Mapped[str]
    instrument: Mapped[str]
    instrument_reason: Mapped[str]
    configuration: Mapped[str]
    date_obs: Mapped[datetime | None]
    exposure_time_s: Mapped[float | None]
    ccd_temperature_c: Mapped[float | None]
    set_temperature_c: Mapped[float | None]
    filter: Mapped[str | None]
    longitude_deg: Mapped[float | None]
    header_gain_e_per_adu: Mapped[float | None]
    header_read_noise_e: Mapped[float | None]
    n_averaged: Mapped[int]
    serial: Mapped[str | None]
    lossy: Mapped[str | None]
    amplifiers: Mapped[list[dict[str, Any]]]
    statistics: Mapped[list[dict[str, Any]]]
    night: Mapped[date | None]
    calibration_set_id: Mapped[int | None] = mapped_column(ForeignKey("calibration_set.id"), index=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    identified_with: Mapped[str] = mapped_column(String(64), index=True)
    """Digest of the identification rules that made it what it is."""
    registered_at: Mapped[datetime] = mapped_column(index=True)
    joined_at: Mapped[datetime]
    """When it arrived: its file's ``changed_at``."""


class HeaderRevision(Base):
    """What a file said of the frame it holds, from a time on: of frames of which more than one thing has been said.

    The order of ids is that in which the ledger saw them. What is in force stands in the frame itself.
    """

    __tablename__ = "header_revision"

    id: Mapped[int] = mapped_column(primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), index=True)
    file_id: Mapped[int | None] = mapped_column(ForeignKey("file.id", ondelete="SET NULL"), index=True)
    path: Mapped[str] = mapped_column(PathText)
    digest: Mapped[str] = mapped_column(String(64))
    """Of what it said."""
    said: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime]


class Run(Base):
    """One calibration of one set: the activity that results come from."""

    __tablename__ = "run"
    __table_args__ = (UniqueConstraint("calibration_set_id", "digest", "attempt"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    calibration_set_id: Mapped[int] = mapped_column(ForeignKey("calibration_set.id"))
    digest: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int]
    engine: Mapped[str] = mapped_column(String(16))
    flow_run_id: Mapped[str | None]
    recipes: Mapped[dict[str, Any]]
    software: Mapped[dict[str, Any]]
    host: Mapped[str]
    pid: Mapped[int]
    pid_started: Mapped[float]
    """Start of that process, as a number that tells it from a later one of the same pid."""
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(_text_enum(Outcome), index=True)
    message: Mapped[str | None]
    superseded_by_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"), index=True)


class RunInput(Base):
    """A frame or a master that a run used, or left out for a reason."""

    __tablename__ = "run_input"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    frame_id: Mapped[int | None] = mapped_column(ForeignKey("frame.id"), index=True)
    master_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    role: Mapped[str]
    excluded: Mapped[str | None]
    borrowed: Mapped[bool]
    path: Mapped[str | None] = mapped_column(PathText)
    """The file it was read from, and that file's hash: it may be edited or moved later."""
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    signature: Mapped[str | None]
    """Inode, size, mtime and ctime that the file had when the run found it as on record."""


class Lack(Base):
    """A product that a run did not make, and why: by what the frames lack, or because it failed."""

    __tablename__ = "lack"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    product: Mapped[str]
    reason: Mapped[str]
    is_failure: Mapped[bool]
    """Whether nobody foresaw it, so that it is tried again."""


class Measurement(Base):
    """One value of one quantity for one amplifier."""

    __tablename__ = "measurement"
    # Where to look, and then all that a trend shows of a point: its rows, which are long, are left alone.
    __table_args__ = (
        Index(
            "ix_measurement_trend",
            *("instrument_id", "quantity", "amplifier", "observed_at"),
            *("value", "uncertainty", "ccd_temperature_c", "unit", "filter", "run_id"),
            *("method", "remark", "n_bias", "n_flat", "n_flat_pairs"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[str] = mapped_column(String(32))
    unit: Mapped[str] = mapped_column(String(16))
    amplifier: Mapped[str]
    value: Mapped[float]
    uncertainty: Mapped[float | None]
    method: Mapped[str]
    filter: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    ccd_temperature_c: Mapped[float | None]
    observed_at: Mapped[datetime]
    """Mean time of its inputs."""
    remark: Mapped[str | None]
    """What is odd about it; None where nothing is."""
    n_bias: Mapped[int | None]
    """Frames and pairs used, as in the details, from which no trend need read them."""
    n_flat: Mapped[int | None]
    n_flat_pairs: Mapped[int | None]


class Notice(Base):
    """Something that people are told of a trend, once; what came after it is another notice."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("measurement_id", "kind"),
        Index(None, "instrument", "quantity", "amplifier"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """``outside``, ``inside`` (its limits again), ``step``, ``drift`` or ``back`` (where it was before)."""
    instrument: Mapped[str]
    configuration: Mapped[str]
    amplifier: Mapped[str]
    filter: Mapped[str | None]
    quantity: Mapped[str] = mapped_column(String(32))
    unit: Mapped[str] = mapped_column(String(16))
    measurement_id: Mapped[int] = mapped_column(ForeignKey("measurement.id"))
    """The one that made it certain."""
    since: Mapped[datetime]
    """Time of observation of the first measurement that shows it."""
    observed_at: Mapped[datetime]
    before: Mapped[float | None]
    after: Mapped[float]
    details: Mapped[dict[str, Any]]
    raised_at: Mapped[datetime]
    told: Mapped[dict[str, Any]]
    """When each receiver, by the digest of its address, was told."""
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it is to be told; None where there is nothing more to tell."""


class Master(Base):
    """A combined calibration image on disk; valid until the next one of its kind begins."""

    __tablename__ = "master"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    product: Mapped[str] = mapped_column(server_default=text("''"))
    """What it is called, as where it is not made."""
    filter: Mapped[str | None]
    exposure_s: Mapped[float | None]
    temperature_c: Mapped[float | None]
    group_c: Mapped[float | None]
    """The temperature that its group goes by, which the groups of other nights follow."""
    path: Mapped[str] = mapped_column(PathText, unique=True)
    """Relative to the home."""
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    unit: Mapped[str] = mapped_column(String(16))
    n_combined: Mapped[int]
    n_excluded: Mapped[int]
    statistics: Mapped[dict[str, Any]]
    verdict: Mapped[str] = mapped_column(String(16))
    remark: Mapped[str | None]
    valid_from: Mapped[datetime]
    """DATE-OBS of its first input."""


class Judgement(Base):
    """What a person said: a mark of a frame, a master or a measurement, or a note on an instrument.

    Lines are never changed and never deleted: what is taken back is so by another line.
    """

    __tablename__ = "judgement"

    id: Mapped[int] = mapped_column(primary_key=True)
    said: Mapped[str] = mapped_column(String(16))
    """``bad``, ``good`` or ``note``."""
    frame_id: Mapped[int | None] = mapped_column(ForeignKey("frame.id"), index=True)
    master_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    measurement_id: Mapped[int | None] = mapped_column(ForeignKey("measurement.id"), index=True)
    instrument: Mapped[str | None] = mapped_column(index=True)
    """Of a note."""
    at: Mapped[datetime | None]
    """What time a note is about."""
    words: Mapped[str]
    """Why, or what happened."""
    who: Mapped[str]
    said_at: Mapped[datetime]
    takes_back_id: Mapped[int | None] = mapped_column(ForeignKey("judgement.id"), index=True)
    """The line that holds no longer, since this one."""


class Certification(Base):
    """How a master was judged beside the one in force. When its validity ends follows from what is on record later."""

    __tablename__ = "certification"

    id: Mapped[int] = mapped_column(primary_key=True)
    master_id: Mapped[int] = mapped_column(ForeignKey("master.id"), unique=True)
    champion_id: Mapped[int | None] = mapped_column(ForeignKey("master.id"), index=True)
    """The one in force then; None where there was none."""
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    figures: Mapped[dict[str, Any]]
    judged_at: Mapped[datetime]


class Seen(Base):
    """Something that called for attention, and that somebody has looked at."""

    __tablename__ = "seen"

    key: Mapped[str] = mapped_column(primary_key=True)
    """What it is and which: ``run:12``; of what may come about again with when it did."""
    who: Mapped[str]
    seen_at: Mapped[datetime]


class Told(Base):
    """Something that called for attention, and a receiver of messages, by its digest, who was told of it."""

    __tablename__ = "told"

    key: Mapped[str] = mapped_column(primary_key=True)
    receiver: Mapped[str] = mapped_column(String(16), primary_key=True)
    told_at: Mapped[datetime]
