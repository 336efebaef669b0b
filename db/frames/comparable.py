"""Which configuration a frame is of, by what is on record of others: two cameras or modes never share a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, text

from ccdcore.headers.comparable import ALIKE, SAME, Sign, of_shape
from db.schema.models import CalibrationSet, Frame

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.headers.identify import ExposureInfo

# These are asked for each frame: what is put together once is several times as fast.
_NAMED = select(CalibrationSet.id).where(
    CalibrationSet.instrument == bindparam("instrument"), CalibrationSet.configuration == bindparam("configuration")
)
_THERE = _NAMED.limit(1)
_HERE = _NAMED.where(
    CalibrationSet.window_first_night == bindparam("window_first_night"),
    CalibrationSet.window_nights == bindparam("window_nights"),
)
_LATEST = _NAMED.order_by(CalibrationSet.window_first_night.desc(), CalibrationSet.id.desc()).limit(1)
_OF_SET = Frame.calibration_set_id == bindparam("set_id")
_SHAPES = select(Frame.rows, Frame.columns).where(_OF_SET).distinct()
_SIGNS = select(Frame.serial, Frame.header_gain_e_per_adu, Frame.header_read_noise_e).where(_OF_SET).distinct()


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
        if set_id is None:
            continue
        if shapes := {(rows, columns) for rows, columns in session.execute(_SHAPES, {"set_id": set_id})}:
            return info if shape in shapes else replace(info, configuration=named)
    return info


def _is_there(session: Session, info: ExposureInfo, configuration: str) -> bool:
    """Whether there is a set of this name of a frame's instrument."""
    return session.scalar(_THERE, {"instrument": info.instrument, "configuration": configuration}) is not None


def _here_and_latest(
    session: Session, info: ExposureInfo, window: Mapping[str, object]
) -> tuple[int | None, int | None]:
    """Return the set that a frame would go to by its name, and the latest of that name; None where there is none."""
    plain = {"instrument": info.instrument, "configuration": info.configuration}
    return session.scalar(_HERE, {**plain, **window}), session.scalar(_LATEST, plain)


def _signs(session: Session, set_id: int | None) -> list[Sign]:
    if set_id is None:  # frames of no set, such as those of science, are of any camera
        return []
    return [Sign(*row) for row in session.execute(_SIGNS, {"set_id": set_id})]
