"""Which configuration a frame is of, by what is on record of others: two cameras or modes never share a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from ccdcore.headers.comparable import ALIKE, SAME, Sign, of_shape
from db.schema.models import CalibrationSet, Frame

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.headers.identify import ExposureInfo


def in_its_configuration(
    session: Session, info: ExposureInfo, *, shape: tuple[int, int], window_first_night: date, window_nights: int
) -> ExposureInfo:
    """Return what is known of a frame; its configuration tells camera, mode and shape where others have the plain name.

    Gain, read noise and serial numbers of the header tell cameras and modes apart that have the same name and
    settings. The first to come keeps the plain name. Numbers that are put right for a camera begin no other one: from
    one window to the next only much different ones do.
    """
    window = {"window_first_night": window_first_night, "window_nights": window_nights}
    return _of_its_shape(session, in_its_mode(session, info, window), shape, window)


def in_its_mode(session: Session, info: ExposureInfo, window: Mapping[str, object]) -> ExposureInfo:
    """Return what is known of a frame; its configuration tells camera and mode where others have the plain name.

    ``window`` is the ``window_first_night`` of its set, and its ``window_nights``.
    """
    own = Sign.of(info)
    named = own.configuration(info.configuration)
    if named == info.configuration:
        return info
    if session.get_bind().dialect.name == "postgresql":  # where two may register at once, each before the other is seen
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": info.instrument})
    if _is_there(session, info, named):
        return replace(info, configuration=named)
    for set_id, tolerance in zip(_here_and_latest(session, info, window), (SAME, ALIKE), strict=True):
        if any(own.contradicts(sign, tolerance=tolerance) for sign in _signs(session, set_id)):
            return replace(info, configuration=named)
    return info


def _of_its_shape(
    session: Session, info: ExposureInfo, shape: tuple[int, int], window: Mapping[str, object]
) -> ExposureInfo:
    named = of_shape(info.configuration, shape)
    if _is_there(session, info, named):
        return replace(info, configuration=named)
    for set_id in _here_and_latest(session, info, window):
        of_set = select(Frame.rows, Frame.columns).where(Frame.calibration_set_id == set_id).distinct()
        if set_id is not None and (shapes := {(rows, columns) for rows, columns in session.execute(of_set)}):
            return info if shape in shapes else replace(info, configuration=named)
    return info


def _is_there(session: Session, info: ExposureInfo, configuration: str) -> bool:
    """Whether there is a set of this name of a frame's instrument."""
    table = CalibrationSet
    there = select(table.id).where(table.instrument == info.instrument, table.configuration == configuration)
    return session.scalars(there.limit(1)).first() is not None


def _here_and_latest(
    session: Session, info: ExposureInfo, window: Mapping[str, object]
) -> tuple[int | None, int | None]:
    """Return the set that a frame would go to by its name, and the latest of that name; None where there is none."""
    table = CalibrationSet
    plain = select(table.id).where(table.instrument == info.instrument, table.configuration == info.configuration)
    latest = plain.order_by(table.window_first_night.desc(), table.id.desc()).limit(1)
    return session.scalars(plain.filter_by(**window)).first(), session.scalars(latest).first()


def _signs(session: Session, set_id: int | None) -> list[Sign]:
    columns = (Frame.serial, Frame.header_gain_e_per_adu, Frame.header_read_noise_e)
    return [
        Sign(*row) for row in session.execute(select(*columns).where(Frame.calibration_set_id == set_id).distinct())
    ]
