"""Takes bias and dark off a frame and divides it by the flat, with the functions of ccdproc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import ccdproc
import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from ccdcore.application.flat_gain import flat_gain
from ccdcore.application.ingredients import CalibratedFrame, Masters, Readout, Unit
from ccdcore.cards.sections import Amplifier, Section, cut
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import Frame
from ccdcore.frames.statistics import overscan_level
from ccdcore.masters.stack import some_rows
from ccdcore.numerics.robust import median
from ccdcore.reduction.master import MaskBit, Master
from ccdcore.reduction.reduce import dark_factor, saturation_limits

Image = npt.NDArray[Any]

_STRIP_PIXELS = 2**18
"""What is calibrated at a time stays in the cache of a processor: whole images take twice as long."""

_ENOUGH_PIXELS = 2**16
"""They tell whether a bias holds the level of the overscan."""

_QUIET = {"add_keyword": False}
"""ccdproc is not to write into headers what it did."""


def calibrate(
    frame: Frame,
    masters: Masters,
    readout: Mapping[str, Readout],
    *,
    unit: Unit = "adu",
    saturation_adu: float | None = None,
    flat_gain_e_per_adu: float | None = None,
) -> CalibratedFrame:
    r"""Calibrate a frame.

    With raw pixels :math:`r`, bias :math:`b`, dark :math:`d` (of the exposure, or a rate times it), flat :math:`f`,
    gain :math:`g` and read noise :math:`n` the value is :math:`(r - b - d)/f`, and its variance what `ccdproc`
    propagates of :math:`(n^2 + g \max(r - b, 0))/g^2` and those of the masters. In electrons it is that times the gain
    which the flat leaves (`flat_gain`), the same in all amplifiers; without a flat times the amplifier's own. The level
    of an amplifier's overscan is taken off first, unless the bias was made without.

    Parameters
    ----------
    frame : Frame
        A raw frame in ADU.
    masters : Masters
        Of the shape of the frame.
    readout : mapping of str to Readout
        Gain and read noise of each amplifier, by name.
    unit : {"adu", "electron"}
        Of the result.
    saturation_adu : float, optional
        What the header says is the value at which pixels saturate; what the pixels themselves show counts too.
    flat_gain_e_per_adu : float, optional
        Of `flat_gain`; reckoned if not given, for which the flat must be whole or of one amplifier.

    Returns
    -------
    CalibratedFrame
        Masked are the pixels that any master masks, and those that are saturated.

    Raises
    ------
    InsufficientDataError
        If a master has another shape or a dark another exposure, or the gain of an amplifier is not known.
    """
    _require_fitting(frame, masters, readout)
    factor = None if masters.dark is None else dark_factor(masters.dark, frame)
    if masters.flat is not None and flat_gain_e_per_adu is None:
        gains = {name: one.gain_e_per_adu for name, one in readout.items()}
        flat_gain_e_per_adu = flat_gain(masters.flat, frame.amplifiers, gains)
    found = CalibratedFrame.empty(frame.shape, unit, MaskBit.OUTSIDE, flat_gain_e_per_adu)
    for amplifier, pile_up in zip(frame.amplifiers, saturation_limits(frame), strict=True):
        level = _bias_level(frame.data, amplifier, masters.bias)
        limit = min(pile_up, _limit(frame.data, amplifier, saturation_adu))
        for strip in _strips(amplifier.data):
            raw, of_strip = frame.data[strip.slices], masters.cut(strip)
            ccd = _calibrated(raw.astype(np.float64) - level, of_strip, readout[amplifier.name], factor)
            if unit == "electron":
                gain = found.gain_of(readout[amplifier.name]) * u.electron / u.adu
                ccd = ccdproc.gain_correct(ccd, gain, **_QUIET)
            mask = reduce(np.bitwise_or, of_strip.masks(), np.uint8(MaskBit.SATURATED) * (raw >= limit))
            is_known = np.isfinite(ccd.data) & np.isfinite(ccd.uncertainty.array)
            mask[~is_known] |= np.uint8(MaskBit.NO_DATA)
            found.value[strip.slices] = np.where(is_known, ccd.data, np.nan)
            found.uncertainty[strip.slices] = np.where(is_known, ccd.uncertainty.array, np.nan)
            found.mask[strip.slices] = mask
    return found


def _calibrated(pixels: Image, masters: Masters, readout: Readout, factor: float | None) -> CCDData:
    """Calibrate pixels of one amplifier, shape (rows, columns), in ADU; a dark is taken off ``factor`` times."""
    gain = readout.gain_e_per_adu * u.electron / u.adu
    noise = {"gain": gain, "readnoise": readout.read_noise_e * u.electron, "disregard_nan": True, **_QUIET}
    ccd = CCDData(pixels, unit=u.adu)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # of pixels that are masked
        if masters.bias is None:
            ccd = ccdproc.create_deviation(ccd, **noise)
        else:  # the light makes the noise, not the bias under it
            light = ccdproc.subtract_bias(ccd, CCDData(masters.bias.value.astype(np.float64), unit=u.adu), **_QUIET)
            ccd.uncertainty = ccdproc.create_deviation(light, **noise).uncertainty
            ccd = ccdproc.subtract_bias(ccd, _as_ccd(masters.bias), **_QUIET)
        if masters.dark is not None:
            seconds = {"dark_exposure": 1 * u.s, "data_exposure": factor * u.s}
            ccd = ccdproc.subtract_dark(ccd, _as_ccd(masters.dark), scale=factor != 1, **seconds, **_QUIET)
        if masters.flat is not None:
            # What `ccdproc.flat_correct` does once it has divided the flat by a mean, which is 1 of ours already.
            ccd = ccd.divide(_as_ccd(masters.flat, u.dimensionless_unscaled))
        return ccd


def _as_ccd(master: Master, unit: u.UnitBase = u.adu) -> CCDData:
    """Return a master as ccdproc knows it; its mask is kept apart, since its bits have meanings."""
    uncertainty = StdDevUncertainty(master.uncertainty.astype(np.float64))
    return CCDData(master.value.astype(np.float64), unit=unit, uncertainty=uncertainty)


def _strips(section: Section) -> Iterator[Section]:
    """Give a section in strips of whole rows."""
    rows = max(1, _STRIP_PIXELS // section.shape[1])
    for first in range(section.y1, section.y2 + 1, rows):
        yield Section(section.x1, section.x2, first, min(first + rows - 1, section.y2))


def _bias_level(raw: Image, amplifier: Amplifier, bias: Master | None) -> float:
    """Return what the overscan of an amplifier says is to be taken off first, in ADU.

    That is nothing where the bias has the whole level: its frames showed that the overscan is none.
    """
    if amplifier.overscan is None:
        return 0.0
    level = overscan_level(raw, amplifier.overscan)
    if bias is None:
        return level
    of_bias = cut(bias.value, amplifier.data)[some_rows(amplifier.data.shape, _ENOUGH_PIXELS)]
    known = of_bias[np.isfinite(of_bias)]
    return 0.0 if known.size and median(known) > level / 2 > 0 else level


def _limit(raw: Image, amplifier: Amplifier, saturation_adu: float | None) -> float:
    """Return the value at which pixels saturate by their type and their header, unless most were saturated by that."""
    of_type = float(np.iinfo(raw.dtype).max) if raw.dtype.kind in "iu" else np.inf
    pixels = cut(raw, amplifier.data)
    if saturation_adu is None or np.count_nonzero(pixels >= saturation_adu) > pixels.size // 2:
        return of_type
    return min(of_type, saturation_adu)


def _require_fitting(frame: Frame, masters: Masters, readout: Mapping[str, Readout]) -> None:
    named = [(f"master {one.kind}", one.value.shape) for one in masters.images()]
    named += [] if masters.bad_pixels is None else [("mask of bad pixels", masters.bad_pixels.shape)]
    for name, shape in named:
        if shape != frame.shape:
            raise InsufficientDataError(
                f"{frame.path}: its shape is {frame.shape}, that of the {name} {shape}: "
                "use one of the same window and binning"
            )
    for amplifier in frame.amplifiers:
        if amplifier.name not in readout:
            raise InsufficientDataError(
                f"{frame.path}: gain and read noise of its amplifier {amplifier.name} are not known: "
                "process biases and flats of its camera"
            )
