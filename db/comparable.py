"""Which configuration a frame is of, by what is on record of others: two cameras or modes never share a set."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from ccdcore.comparable import ALIKE, SAME, Sign
from db.models import CalibrationSet, Frame

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.header import ExposureInfo


def in_its_configuration(
    session: Session, info: ExposureInfo, *, window_first_night: date, window_nights: int
) -> ExposureInfo:
    """Return what is known of a frame, with the name of its camera and mode in its configuration where others share it.

    Gain, read noise and serial numbers of the header tell cameras and modes apart that have the same name and
    settings. The first to come keeps the plain name. Numbers that are put right for a camera begin no other one: from
    one window to the next only much different ones do.
    """
    own = Sign.of(info)
    named = own.configuration(info.configuration)
    if named == info.configuration:
        return info
    if session.get_bind().dialect.name == "postgresql":  # where two may register at once, each before the other is seen
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": info.instrument})
    table = CalibrationSet
    of_instrument = select(table.id).where(table.instrument == info.instrument)
    if session.scalars(of_instrument.where(table.configuration == named).limit(1)).first() is not None:
        return replace(info, configuration=named)
    plain = of_instrument.where(table.configuration == info.configuration)
    here = plain.where(table.window_first_night == window_first_night, table.window_nights == window_nights)
    latest = plain.order_by(table.window_first_night.desc(), table.id.desc()).limit(1)
    for sets, tolerance in ((here, SAME), (latest, ALIKE)):
        if any(own.contradicts(sign, tolerance=tolerance) for sign in _signs(session, session.scalars(sets).first())):
            return replace(info, configuration=named)
    return info


def _signs(session: Session, set_id: int | None) -> list[Sign]:
    columns = (Frame.serial, Frame.header_gain_e_per_adu, Frame.header_read_noise_e)
    return [
        Sign(*row) for row in session.execute(select(*columns).where(Frame.calibration_set_id == set_id).distinct())
    ]
