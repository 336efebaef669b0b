"""The file of a master: FITS with value, uncertainty, mask, number of frames, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from astropy.io import fits
from astropy.time import Time

from ccdcore.cards.values import Cards
from ccdcore.cards.writing import plain_ascii, set_card
from ccdcore.errors import FrameReadError
from ccdcore.headers.readout_configuration import gain_is_a_setting
from ccdcore.io.plain_files import file_errors
from ccdcore.io.stored_pixels import stored_planes
from ccdcore.io.stream import name_of, open_units
from ccdcore.reduction.master import MaskBit, Master, MasterInput

if TYPE_CHECKING:
    from ccdcore.cards.sections import Amplifier, Detector
    from ccdcore.masters.bad_pixels import BadPixels

_MOST_IMCMB = 999
"""IMCMB999 is the last name of eight characters; the table has every frame."""

_MASTER = "Master "
"""IMAGETYP begins with it, as Siril, PixInsight and AstroImageJ have it; in capitals until 2026."""

_WORDS = {"darkrate": "Rate"}
"""What IMAGETYP calls a kind, if not by its name: who looks for "Master Dark" is not to find a rate. It was
"Master Darkrate" until 2026, and is read as such."""

_SAME_EXPOSURE = 0.01
"""Exposures that differ by less are one."""


_DONE = {
    "bias": ("OVERSCAN", "TRIM", "FIXPIX"),
    "dark": ("OVERSCAN", "TRIM", "FIXPIX", "ZEROCOR"),
    "flat": ("OVERSCAN", "TRIM", "FIXPIX", "ZEROCOR", "DARKCOR"),
}
"""Without these cards IRAF's ccdproc reduces a master as it does a raw frame, and writes over it."""

_OF_AMPLIFIERS = "gain_e_per_adu", "gain_uncertainty", "read_noise_e", "read_noise_uncertainty"
"""Columns of the table of amplifiers."""

_PROVENANCE = "path", "sha256", "date_obs", "exposure_time", "scale", "level", "rejected_fraction"
"""Columns of the table of the frames of a master that all of them have."""


@dataclass(frozen=True, slots=True)
class MeasuredAmplifier:
    """Gain and read noise of an amplifier, as the file of a master tells them; None where there is none.

    Parameters
    ----------
    amplifier : Amplifier
        Its name and data section.
    gain_e_per_adu, gain_uncertainty : float or None
        In electrons per ADU, with the total 1-σ uncertainty, statistical and systematic.
    read_noise_e, read_noise_uncertainty : float or None
        In electrons RMS, with the total 1-σ uncertainty.
    """

    amplifier: Amplifier
    gain_e_per_adu: float | None = None
    gain_uncertainty: float | None = None
    read_noise_e: float | None = None
    read_noise_uncertainty: float | None = None


def master_hdulist(
    master: Master, cards: Mapping[str, Any] | None = None, measured: Sequence[MeasuredAmplifier] = ()
) -> fits.HDUList:
    """Lay out a master as FITS: primary image, UNCERT, MASK, NCOMBINE, PROVENANCE.

    Parameters
    ----------
    master : Master
        The master.
    cards : mapping of str to object, optional
        More cards of the primary header: keyword → value, or (value, comment). Those of the master itself and of what
        was measured come before them. Text is reduced to printable ASCII; None, NaN and infinity are left out.
    measured : sequence of MeasuredAmplifier
        Gain and read noise, as the cards EGAIN and RDNOISE; of several amplifiers as the table AMPLIFIERS.

    Returns
    -------
    HDUList
        As `CCDData.read` understands it, unit, uncertainty and mask included.
    """
    primary = fits.PrimaryHDU(np.asarray(master.value, dtype=np.float32))
    for keyword, value in {**(cards or {}), **_cards_measured(measured, cards or {}), **_cards(master)}.items():
        set_card(primary.header, keyword, value)
    uncertainty = fits.ImageHDU(np.asarray(master.uncertainty, dtype=np.float32), name="UNCERT")
    uncertainty.header["BUNIT"] = (master.unit, "1-sigma uncertainty")
    uncertainty.header["UTYPE"] = "StdDevUncertainty"
    mask = fits.ImageHDU(np.asarray(master.mask, dtype=np.uint8), name="MASK")
    name_bits(mask.header)
    n_used = fits.ImageHDU(np.asarray(master.n_used, dtype=np.uint16), name="NCOMBINE")
    tables = [_provenance(master.inputs), *([amplifiers_table(measured)] if len(measured) > 1 else [])]
    return fits.HDUList([primary, uncertainty, mask, n_used, *tables])


def mask_hdulist(bad: BadPixels, cards: Mapping[str, Any] | None = None) -> fits.HDUList:
    """Lay out a mask of bad pixels as FITS: the mask as primary image, its bits named by MASKBn cards, PROVENANCE.

    Parameters and cards are as of `master_hdulist`. The mask has the shape (rows, columns) of the frames.
    """
    primary = fits.PrimaryHDU(np.asarray(bad.mask, dtype=np.uint8))
    own = {"BUNIT": ("", "bits"), "IMAGETYP": (f"{_MASTER}Mask", "what this image is"), "COMBINED": True}
    for keyword, value in {**(cards or {}), **own, "NCOMBINE": len(bad.inputs)}.items():
        set_card(primary.header, keyword, value)
    name_bits(primary.header)
    return fits.HDUList([primary, _provenance(bad.inputs)])


def name_bits(header: fits.Header) -> None:
    """Say in the header of a mask what its bits mean."""
    for bit in MaskBit:
        header[f"MASKB{bit.bit_length() - 1}"] = (str(bit.name), f"meaning of bit value {bit.value}")


def read_master(path: str | PathLike[str], *, mapped: bool = False, detector: Detector | None = None) -> Master:
    """Read a master that was written from `master_hdulist`.

    Parameters
    ----------
    path : path-like
        The file.
    mapped : bool
        Whether its images stay in the file until some rows are asked for, in the byte order that they have there.
    detector : Detector, optional
        Only its part is read: of a mosaic the whole may be more than a process should hold.

    Returns
    -------
    Master

    Raises
    ------
    FrameReadError
        If it is not a master's file.
    """
    if detector is not None:
        return _part(read_master(path, mapped=True), Path(path), detector)
    try:
        with open_units(path, memmap=None if mapped else False) as hdus:
            units = {name_of(unit): unit for unit in hdus}  # by name once: astropy looks each name up in all headers
            header, image = hdus[0].header, np.asarray if mapped else _native
            exposures = header.get("EXPMIN"), header.get("EXPMAX")
            return Master(
                kind=_kind_of(header["IMAGETYP"].rstrip()),
                value=image(hdus[0].data),
                uncertainty=image(units["UNCERT"].data),
                mask=image(units["MASK"].data),
                n_used=image(units["NCOMBINE"].data),
                unit=header["BUNIT"].rstrip(),
                clip_sigma=(float(header["CLIPLOW"]), float(header["CLIPHIGH"])),
                inputs=_inputs(units["PROVENANCE"].data),
                exposure_range_s=None if None in exposures else exposures,
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise FrameReadError(Path(path), f"is not a master written by ccdwatch: {error}") from error


def _part(master: Master, path: Path, detector: Detector) -> Master:
    """Return the part of a master, mapped or not, that is of one detector, read into memory."""
    with file_errors(path):
        planes = stored_planes(path, path.open("rb"))
    value, uncertainty, n_used = (planes[name].columns(detector.columns) for name in ("", "UNCERT", "NCOMBINE"))
    mask = planes["MASK"].columns(detector.columns)
    return replace(master, value=value, uncertainty=uncertainty, mask=mask, n_used=n_used)


def _kind_of(imagetyp: str) -> Any:
    """Return the kind of master that a card says."""
    word = imagetyp.lower().removeprefix(_MASTER.lower())
    return next((kind for kind, other in _WORDS.items() if other.lower() == word), word)


def _cards(master: Master) -> dict[str, Any]:
    """Return the cards that follow from the master itself."""
    cards: dict[str, Any] = {
        "BUNIT": (master.unit, "unit of the image"),
        "IMAGETYP": (f"{_MASTER}{_WORDS.get(master.kind, master.kind.title())}", "what this image is"),
        "COMBINED": (True, "this is a stack of frames"),
        "NCOMBINE": (len(master.inputs), "number of frames combined"),
        "CLIPLOW": (_threshold(master.clip_sigma[0]), "[sigma] clipped below the median"),
        "CLIPHIGH": (_threshold(master.clip_sigma[1]), "[sigma] clipped above the median"),
    }
    cards |= dict.fromkeys(_DONE.get(master.kind, ()), ("ccdwatch", "for IRAF: nothing is left to do"))
    if master.kind == "flat":
        cards["CCDMEAN"] = (1.0, "for IRAF: what the flat is normalised to")
    if master.exposure_range_s is not None:
        cards["EXPTIME"] = (_exposure(master), "[s] exposure time")
        cards["EXPMIN"] = (master.exposure_range_s[0], "[s] shortest exposure of the inputs")
        cards["EXPMAX"] = (master.exposure_range_s[1], "[s] longest exposure of the inputs")
    began = [entry.date_obs for entry in master.inputs if entry.date_obs is not None]
    ended = [_end(entry) for entry in master.inputs if entry.date_obs is not None]
    if began:
        cards |= _date_cards("OBS", min(began), "begin of the first exposure")
        cards |= _date_cards("END", max(filter(None, ended)), "end of the last exposure")
    for number, entry in enumerate(master.inputs[:_MOST_IMCMB], start=1):
        cards[f"IMCMB{number:03d}"] = entry.path.name
    return cards


def _exposure(master: Master) -> float | None:
    """Return the exposure in seconds that a master is for; None of frames of several."""
    if master.unit == "adu/s":
        return 1.0
    shortest, longest = master.exposure_range_s or (0.0, 0.0)
    return (shortest + longest) / 2 if longest - shortest <= _SAME_EXPOSURE * longest else None


def _cards_measured(measured: Sequence[MeasuredAmplifier], cards: Cards) -> dict[str, Any]:
    """Return the cards of section, gain and read noise; of several amplifiers they stand in a table, and not here.

    GAIN is the gain too where it is that in the cards of the frames; where it is a setting it stays one.
    """
    if not measured:
        return {}
    one = measured[0] if len(measured) == 1 else None
    section = str(one.amplifier.data) if one else None
    found: dict[str, Any] = {"DATASEC": (section, "pixels that see light"), **({} if one else {"CCDSEC": None})}
    if one is None or one.gain_e_per_adu is not None:
        gain = (one and one.gain_e_per_adu, "[electron/adu] measured gain")
        found |= {"EGAIN": gain, "EGAINERR": (one and one.gain_uncertainty, "[electron/adu] its total uncertainty")}
        found |= {"GAIN": gain} if "GAIN" in cards and not gain_is_a_setting(cards) else {}
    if one is None or one.read_noise_e is not None:
        found["RDNOISE"] = (one and one.read_noise_e, "[electron] measured read noise")
        found["RDNOIERR"] = (one and one.read_noise_uncertainty, "[electron] its total uncertainty")
    return found


def _threshold(sigma: float) -> float | str:
    """Return a threshold as a card holds it, which knows no infinite numbers."""
    return sigma if np.isfinite(sigma) else "inf"


def _end(entry: MasterInput) -> datetime | None:
    return entry.date_obs and entry.date_obs + timedelta(seconds=entry.exposure_time_s or 0)


def _date_cards(which: str, when: datetime, comment: str) -> dict[str, Any]:
    """Return DATE- and MJD- cards, so that no reader has to derive one from the other and warn of it."""
    time = Time(when)
    time.precision = 6
    return {f"DATE-{which}": (time.isot, f"UTC, {comment}"), f"MJD-{which}": (float(time.mjd), f"[d] {comment}")}


def _text(name: str, values: Sequence[str]) -> fits.Column:
    return fits.Column(name, f"{max(1, *map(len, values))}A", array=np.array(values))


def _numbers(name: str, values: Sequence[float | None], unit: str | None = None) -> fits.Column:
    return fits.Column(name, "D", unit, array=np.array(values, dtype=np.float64))


def amplifiers_table(measured: Sequence[MeasuredAmplifier], *, of: str = "") -> fits.BinTableHDU:
    """Return the table AMPLIFIERS: gain in e⁻/ADU and read noise in electrons of each, with total uncertainties.

    ``of`` begins the comment that says so, where the pixels beside have other gains.
    """
    columns = [
        _text("amplifier", [plain_ascii(one.amplifier.name) for one in measured]),
        _text("datasec", [str(one.amplifier.data) for one in measured]),
        # Columns have no unit: electrons are none of the FITS standard.
        *(_numbers(name, [getattr(one, name) for one in measured]) for name in _OF_AMPLIFIERS),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="AMPLIFIERS")
    table.header.add_comment(f"{of}measured gain in electron/adu, read noise in electron, total 1-sigma uncertainties")
    return table


def _provenance(inputs: Sequence[MasterInput]) -> fits.BinTableHDU:
    table = fits.BinTableHDU.from_columns(
        [
            _text(
                "path",
                [quote(str(entry.path), safe="/!#$&'()*+,:;=?@[]~", errors="surrogateescape") for entry in inputs],
            ),
            _text("sha256", [entry.sha256 for entry in inputs]),
            _text(
                "date_obs", [entry.date_obs.astimezone(UTC).isoformat() if entry.date_obs else "" for entry in inputs]
            ),
            _numbers("exposure_time", [entry.exposure_time_s for entry in inputs], "s"),
            _numbers("scale", [entry.scale for entry in inputs]),
            _numbers("weight", [entry.weight for entry in inputs]),
            _numbers("level", [entry.level_adu for entry in inputs], "adu"),
            _numbers("rejected_fraction", [entry.rejected_fraction for entry in inputs]),
        ],
        name="PROVENANCE",
    )
    table.header.add_comment("path: percent-encoded where it is not plain ASCII")
    return table


def _inputs(table: Any) -> tuple[MasterInput, ...]:
    """Return the rows of a table of provenance; older masters have no weights."""
    columns = {name: table[name].tolist() for name in table.names}
    return tuple(map(_input, *(columns[name] for name in _PROVENANCE), columns.get("weight", repeat(1.0))))


def _input(
    path: str, sha256: str, date_obs: str, exposure_s: float, scale: float, level: float, rejected: float, weight: float
) -> MasterInput:
    return MasterInput(
        path=Path(unquote(path, errors="surrogateescape")),
        sha256=sha256,
        date_obs=datetime.fromisoformat(date_obs) if date_obs else None,
        scale=scale,
        level_adu=level,
        rejected_fraction=rejected,
        exposure_time_s=None if math.isnan(exposure_s) else exposure_s,
        weight=weight,
    )


def _native(data: Any) -> Any:
    """Return an image that was just read in the byte order of this machine, in its own room."""
    return data if data.dtype.isnative else data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
