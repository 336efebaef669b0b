"""Nights, windows and the frames of a calibration set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.geometry import Amplifier
from ccdcore.header import ExposureInfo
from ccdcore.instrument import FrameType

if TYPE_CHECKING:
    from ccdcore.statistics import FrameStatistics

_MJD_0 = date(1858, 11, 17).toordinal()

SHORT_DARK_S = 0.1
"""A dark as short as this is a bias but for its name."""
_PAIR = 2


@dataclass(frozen=True, slots=True)
class SeriesFrame:
    """A registered frame as a series sees it: everything but its pixels.

    Parameters
    ----------
    sha256 : str
        The frame's identity.
    path : Path
        Where its pixels can be read.
    shape : tuple of int
        Rows and columns.
    info : ExposureInfo
        What the header and the configuration say of it.
    amplifiers : tuple of Amplifier
        Its read-out channels.
    statistics : tuple of FrameStatistics
        One for each amplifier, in the same order.
    """

    sha256: str
    path: Path
    shape: tuple[int, int]
    info: ExposureInfo
    amplifiers: tuple[Amplifier, ...]
    statistics: tuple[FrameStatistics, ...]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A frame that does not belong, and why."""

    frame: SeriesFrame
    reason: str


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


def in_time_order(frames: Iterable[SeriesFrame]) -> tuple[SeriesFrame, ...]:
    """Return frames by the begin of their exposure, then by file name; those of unknown time come last."""
    latest = datetime.max.replace(tzinfo=UTC)
    return tuple(sorted(frames, key=lambda frame: (frame.info.date_obs or latest, frame.path.name)))


def nominal_exposure(frame: SeriesFrame) -> float | None:
    """Return the exposure time in seconds to three significant digits.

    Exposures that agree in it count as the same: shutters and headers are
    hardly better than that, and the difference does not matter for a flat.
    """
    exposure = frame.info.exposure_time_s
    return None if exposure is None else float(f"{exposure:.3g}")


def flat_groups(frames: Iterable[SeriesFrame]) -> dict[tuple[str | None, float | None], tuple[SeriesFrame, ...]]:
    """Return the flats among ``frames`` by filter and `nominal_exposure`, each group in time order."""
    groups: dict[tuple[str | None, float | None], list[SeriesFrame]] = {}
    for frame in in_time_order(frame for frame in frames if frame.info.frame_type is FrameType.FLAT):
        groups.setdefault((frame.info.filter, nominal_exposure(frame)), []).append(frame)
    return {key: tuple(group) for key, group in groups.items()}


def with_stand_ins(frames: Sequence[SeriesFrame]) -> tuple[SeriesFrame, ...]:
    """Let darks stand in for biases where there are none.

    Darks of at most `SHORT_DARK_S` do, where there are two of them; else darks
    of the same `nominal_exposure` as all flats, whose dark signal is then taken
    off the flats with the bias level.

    Parameters
    ----------
    frames : sequence of SeriesFrame
        The frames of a calibration set, borrowed ones among them.

    Returns
    -------
    tuple of SeriesFrame
        The same frames in the same order; those that stand in are of type bias.
    """
    if any(frame.info.frame_type is FrameType.BIAS for frame in frames):
        return tuple(frames)
    stand_ins = {frame.sha256 for frame in _stand_ins(frames)}
    return tuple(
        replace(frame, info=replace(frame.info, frame_type=FrameType.BIAS)) if frame.sha256 in stand_ins else frame
        for frame in frames
    )


def _stand_ins(frames: Sequence[SeriesFrame]) -> list[SeriesFrame]:
    darks = [frame for frame in frames if frame.info.frame_type is FrameType.DARK]
    short = [
        frame for frame in darks if (exposure := frame.info.exposure_time_s) is not None and exposure <= SHORT_DARK_S
    ]
    flat_exposures = {nominal_exposure(frame) for frame in frames if frame.info.frame_type is FrameType.FLAT}
    matching = [frame for frame in darks if {nominal_exposure(frame)} == flat_exposures - {None}]
    return next((some for some in (short, matching) if len(some) >= _PAIR), [])


def _or_long(exposure_time_s: float | None) -> float:
    return inf if exposure_time_s is None else exposure_time_s


def stand_in_note(stand_ins: Iterable[SeriesFrame]) -> str | None:
    """Say in words which darks stand in for biases; None where none do."""
    exposures = [frame.info.exposure_time_s or 0.0 for frame in stand_ins]
    if not exposures:
        return None
    shortest, longest = (f"{limit(exposures):g}" for limit in (min, max))
    span = shortest if shortest == longest else f"{shortest} to {longest}"
    if max(exposures) <= SHORT_DARK_S:
        return f"no biases: {len(exposures)} darks of {span} s stand in for them"
    return (
        f"no biases: {len(exposures)} darks of {span} s, as long as the flats, stand in for them: "
        "the bias level and the read noise include the dark signal and its noise"
    )
