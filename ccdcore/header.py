"""From header cards of any dialect to one `ExposureInfo`, with the reason for each decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ccdcore.instrument import FrameType


@dataclass(frozen=True, slots=True)
class ExposureInfo:
    """What the header and the configuration say of one frame.

    Parameters
    ----------
    frame_type : FrameType
        Bias, dark, flat or other.
    frame_type_reason : str
        The evidence it was taken from, in words.
    instrument : str
        Name of the matching entry, else taken from the header.
    instrument_reason : str
        The evidence for it.
    configuration : str
        Slug of what makes frames comparable, for example ``bin1x1``.
    date_obs : datetime or None
        Begin of the exposure, UTC-aware; None where it is not known.
    exposure_time_s : float or None
        Exposure time in seconds.
    ccd_temperature_c : float or None
        Detector temperature in °C.
    filter : str or None
        Filter name.
    longitude_deg : float or None
        East longitude of the site, in degrees, where the header has it.
    header_gain_e_per_adu, header_read_noise_e : float or None
        What the header claims; never used as a measurement.
    n_averaged : int
        Number of exposures averaged into this frame; 1 for a raw frame.
    """

    frame_type: FrameType
    frame_type_reason: str
    instrument: str
    instrument_reason: str
    configuration: str
    date_obs: datetime | None = None
    exposure_time_s: float | None = None
    ccd_temperature_c: float | None = None
    filter: str | None = None
    longitude_deg: float | None = None
    header_gain_e_per_adu: float | None = None
    header_read_noise_e: float | None = None
    n_averaged: int = 1

    def __post_init__(self) -> None:
        if self.date_obs is not None and self.date_obs.utcoffset() is None:
            raise ValueError("date_obs has no time zone: give it as UTC")
