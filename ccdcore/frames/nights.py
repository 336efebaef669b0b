"""Nights: from local noon to noon, and windows of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_MJD_0 = date(1858, 11, 17).toordinal()


def night_of(date_obs: datetime, longitude_deg: float) -> date:
    """Return the night of an observation: from local noon to local noon, named by the civil date of its evening.

    Local time is local mean solar time, UTC + longitude / 15 h; the night's
    number is floor(MJD_local − 0.5).

    Parameters
    ----------
    date_obs : datetime
        Begin of the exposure, with a time zone.
    longitude_deg : float
        East longitude of the site in degrees; 289 and −71 are the same.

    Returns
    -------
    date
        The date of the night's evening.

    Raises
    ------
    ValueError
        If `date_obs` has no time zone.
    """
    if date_obs.utcoffset() is None:
        raise ValueError(f"{date_obs} has no time zone: give it as UTC")
    east = (longitude_deg + 180) % 360 - 180
    local = date_obs.astimezone(UTC) + timedelta(days=east / 360)
    return (local - timedelta(hours=12)).date()


def window_of(night: date, window_nights: int) -> date:
    """Return the first night of the block that ``night`` belongs to.

    Blocks are fixed, floor(MJD / window_nights), so that it does not depend
    on which frames have come yet.

    Parameters
    ----------
    night : date
        As `night_of` names it.
    window_nights : int
        Nights of a block, at least 1.

    Returns
    -------
    date
        The first night of the block, whether or not there are frames of it.

    Raises
    ------
    ValueError
        If `window_nights` is less than 1.
    """
    if window_nights < 1:
        raise ValueError(f"window_nights is {window_nights}: give at least 1")
    return night - timedelta(days=(night.toordinal() - _MJD_0) % window_nights)
