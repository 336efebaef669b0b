"""The file of a master: FITS with value, uncertainty, mask, number of frames, and where it came from."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from astropy.io import fits
from astropy.time import Time

from ccdcore.errors import FrameReadError
from ccdcore.reduction.master import MaskBit, Master, MasterInput

if TYPE_CHECKING:
    from ccdcore.masters.bad_pixels import BadPixels

_MOST_IMCMB = 999
"""IMCMB999 is the last name of eight characters; the table has every frame."""


def master_hdulist(master: Master, cards: Mapping[str, Any] | None = None) -> fits.HDUList:
    """Lay out a master as FITS: primary image, UNCERT, MASK, NCOMBINE, PROVENANCE.

    Parameters
    ----------
    master : Master
        The master.
    cards : mapping of str to object, optional
        More cards of the primary header: keyword → value, or (value, comment).
        Text is reduced to printable ASCII; None, NaN and infinity are left out.

    Returns
    -------
    HDUList
        As `CCDData.read` understands it, unit, uncertainty and mask included.
    """
    primary = fits.PrimaryHDU(np.asarray(master.value, dtype=np.float32))
    for keyword, value in {**_cards(master), **(cards or {})}.items():
        _set(primary.header, keyword, value)
    uncertainty = fits.ImageHDU(np.asarray(master.uncertainty, dtype=np.float32), name="UNCERT")
    uncertainty.header["BUNIT"] = (master.unit, "1-sigma uncertainty")
    uncertainty.header["UTYPE"] = "StdDevUncertainty"
    mask = fits.ImageHDU(np.asarray(master.mask, dtype=np.uint8), name="MASK")
    _name_bits(mask.header)
    n_used = fits.ImageHDU(np.asarray(master.n_used, dtype=np.uint16), name="NCOMBINE")
    return fits.HDUList([primary, uncertainty, mask, n_used, _provenance(master.inputs)])


def mask_hdulist(bad: BadPixels, cards: Mapping[str, Any] | None = None) -> fits.HDUList:
    """Lay out a mask of bad pixels as FITS: the mask as primary image, its bits named by MASKBn cards, PROVENANCE.

    Parameters and cards are as of `master_hdulist`. The mask has the shape (rows, columns) of the frames.
    """
    primary = fits.PrimaryHDU(np.asarray(bad.mask, dtype=np.uint8))
    own = {"BUNIT": ("", "bits"), "IMAGETYP": ("MASTER MASK", "what this image is"), "COMBINED": True}
    for keyword, value in {**own, "NCOMBINE": len(bad.inputs), **(cards or {})}.items():
        _set(primary.header, keyword, value)
    _name_bits(primary.header)
    return fits.HDUList([primary, _provenance(bad.inputs)])


def _name_bits(header: fits.Header) -> None:
    for bit in MaskBit:
        header[f"MASKB{bit.bit_length() - 1}"] = (str(bit.name), f"meaning of bit value {bit.value}")


def read_master(path: str | PathLike[str]) -> Master:
    """Read a master that was written from `master_hdulist`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Master

    Raises
    ------
    FrameReadError
        If it is not a master's file.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            header = hdus[0].header
            exposures = header.get("EXPMIN"), header.get("EXPMAX")
            return Master(
                kind=header["IMAGETYP"].removeprefix("MASTER ").lower(),
                value=_native(hdus[0].data),
                uncertainty=_native(hdus["UNCERT"].data),
                mask=_native(hdus["MASK"].data),
                n_used=_native(hdus["NCOMBINE"].data),
                unit=header["BUNIT"],
                clip_sigma=(float(header["CLIPLOW"]), float(header["CLIPHIGH"])),
                inputs=tuple(_input(row) for row in hdus["PROVENANCE"].data),
                exposure_range_s=None if None in exposures else exposures,
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise FrameReadError(Path(path), f"is not a master written by ccdwatch: {error}") from error


def _cards(master: Master) -> dict[str, Any]:
    """Return the cards that follow from the master itself."""
    cards: dict[str, Any] = {
        "BUNIT": (master.unit, "unit of the image"),
        "IMAGETYP": (f"MASTER {master.kind.upper()}", "what this image is"),
        "COMBINED": (True, "this is a stack of frames"),
        "NCOMBINE": (len(master.inputs), "number of frames combined"),
        "CLIPLOW": (_threshold(master.clip_sigma[0]), "[sigma] clipped below the median"),
        "CLIPHIGH": (_threshold(master.clip_sigma[1]), "[sigma] clipped above the median"),
    }
    if master.exposure_range_s is not None:
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


def _set(header: fits.Header, keyword: str, value: Any) -> None:
    """Set a card to what FITS can hold of ``value``."""
    value, comment = value if isinstance(value, tuple) else (value, None)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None).isoformat()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return
    if not isinstance(value, bool | int | float):
        value = _ascii(str(value))
    header[keyword] = (value, None if comment is None else _ascii(str(comment)))


def _ascii(text: str) -> str:
    """Return ``text`` in printable ASCII: accents dropped, what has no likeness as a question mark."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)


def _provenance(inputs: Sequence[MasterInput]) -> fits.BinTableHDU:
    def text(name: str, values: list[str]) -> fits.Column:
        return fits.Column(name, f"{max(1, *map(len, values))}A", array=np.array(values))

    def number(name: str, values: list[float | None], unit: str | None = None) -> fits.Column:
        return fits.Column(name, "D", unit, array=np.array(values, dtype=np.float64))

    table = fits.BinTableHDU.from_columns(
        [
            text(
                "path",
                [quote(str(entry.path), safe="/!#$&'()*+,:;=?@[]~", errors="surrogateescape") for entry in inputs],
            ),
            text("sha256", [entry.sha256 for entry in inputs]),
            text(
                "date_obs", [entry.date_obs.astimezone(UTC).isoformat() if entry.date_obs else "" for entry in inputs]
            ),
            number("exposure_time", [entry.exposure_time_s for entry in inputs], "s"),
            number("scale", [entry.scale for entry in inputs]),
            number("level", [entry.level_adu for entry in inputs], "adu"),
            number("rejected_fraction", [entry.rejected_fraction for entry in inputs]),
        ],
        name="PROVENANCE",
    )
    table.header.add_comment("path: percent-encoded where it is not plain ASCII")
    return table


def _input(row: Any) -> MasterInput:
    exposure = float(row["exposure_time"])
    return MasterInput(
        path=Path(unquote(row["path"], errors="surrogateescape")),
        sha256=row["sha256"],
        date_obs=datetime.fromisoformat(row["date_obs"]) if row["date_obs"] else None,
        scale=float(row["scale"]),
        level_adu=float(row["level"]),
        rejected_fraction=float(row["rejected_fraction"]),
        exposure_time_s=None if math.isnan(exposure) else exposure,
    )


def _native(data: Any) -> Any:
    """Return an image that was just read in the byte order of this machine, in its own room."""
    return data if data.dtype.isnative else data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
