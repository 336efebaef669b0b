"""Frames as a choice of masters sees them: with the configuration that masters of their camera have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from ccdcore.association.facts import Subject, amplifiers_text
from ccdcore.association.window import parted
from ccdcore.frames.groups import deciding_temperature
from ccdcore.headers.identify import UNUSABLE
from db.frames.comparable import in_its_configuration, in_its_mode
from db.frames.series import series_frame
from db.frames.spans import boundaries, span_around
from db.schema.models import Frame
from db.schema.upsert import batches

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.cards.sections import Amplifier
    from ccdcore.frames.frame import FrameStatistics
    from ccdcore.headers.identify import ExposureInfo

_UNKNOWN_NIGHT = date.min


class Measured(Protocol):
    """A frame without its pixels: `ccdcore.io.read.MeasuredFrame`, or one on record."""

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def info(self) -> ExposureInfo: ...  # noqa: D102
    @property
    def amplifiers(self) -> tuple[Amplifier, ...]: ...  # noqa: D102
    @property
    def statistics(self) -> tuple[FrameStatistics, ...]: ...  # noqa: D102


def subjects_on_record(session: Session, frame_ids: Collection[int]) -> dict[int, Subject]:
    """Return frames on record as a choice sees them, by id; they are called ``frame:7``."""
    found = {}
    for some in batches(frame_ids):
        for frame in session.scalars(select(Frame).where(Frame.id.in_(some)).order_by(Frame.id)):
            measured = series_frame(frame, Path())
            is_in_set = frame.calibration_set_id is not None
            found[frame.id] = subject_of(session, f"frame:{frame.id}", measured, night=frame.night, is_in_set=is_in_set)
    return found


def subject_of(
    session: Session, name: str, measured: Measured, *, night: date | None, is_in_set: bool = False
) -> Subject:
    """Return a frame as a choice sees it.

    Parameters
    ----------
    name : str
        How it is called.
    measured : Measured
        What is known of it.
    night : date or None
        Its night.
    is_in_set : bool
        Whether its configuration is that of a set on record; else it gets the name that frames of its camera and mode
        have.
    """
    info, whole, section = measured.info, None, None
    if (window := parted(info.configuration)) is not None:
        of_night = {"window_first_night": night or _UNKNOWN_NIGHT, "window_nights": 1}
        whole, section = window
        if not is_in_set:
            whole = in_its_mode(session, replace(info, configuration=whole), of_night).configuration
    if not is_in_set:
        info = in_its_configuration(
            session, info, shape=measured.shape, window_first_night=night or _UNKNOWN_NIGHT, window_nights=1
        )
    return Subject(
        name=name,
        instrument=info.instrument,
        configuration=info.configuration,
        whole=whole,
        window=section,
        at=info.date_obs,
        exposure_s=info.exposure_time_s,
        filter=info.filter,
        temperature_c=deciding_temperature(info),
        shape=measured.shape,
        amplifiers=amplifiers_text((one.name, str(one.data)) for one in measured.amplifiers),
        level_adu=_mean_above([one.median for one in measured.statistics], measured.statistics),
        lowest_adu=_mean_above([one.minimum for one in measured.statistics], measured.statistics),
        unusable=tuple(one for one in info.frame_type_reason.split("; ") if one.endswith(UNUSABLE)),
    )


def at_time(session: Session, subject: Subject, at: datetime | None) -> Subject:
    """Return a frame as if it were taken at a time, with the entry of its instrument that holds then."""
    times = boundaries(session, subject.instrument).get(subject.instrument, ())
    return replace(subject, at=at, entry=(None, None) if at is None else span_around(times, at))


def _mean_above(values: Sequence[float], statistics: Sequence[FrameStatistics]) -> float | None:
    above = [value - (one.overscan_level or 0.0) for value, one in zip(values, statistics, strict=True)]
    return fmean(above) if above else None
