"""Masters as PixInsight's WeightedBatchPreprocessing (WBPP) takes them: files of XISF, from 0 up."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from ccdcore.errors import CcdError
from ccdcore.exchange.xisf import ImageType, xisf_bytes
from ccdcore.io.stream import value_of

_WHITE_ADU = 65_535.0
"""What PixInsight takes for white in frames of 16 bits."""
_MOST_CUT = 1e-4
"""Part of the pixels of a master that may be out of the range which PixInsight keeps: dead and hot ones."""
_OF_THE_FILE = frozenset({"SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "CHECKSUM", "DATASUM", ""})
"""Cards that tell of a FITS file rather than of its image."""
_IMAGE_TYPES: dict[str, ImageType] = {"bias": "MasterBias", "dark": "MasterDark", "flat": "MasterFlat"}
_OTHERWISE = re.compile(r"[^A-Za-z0-9.+-]")


class UnfitError(CcdError):
    """A master that a program could not use rightly."""


def wbpp_name(kind: str, header: fits.Header) -> str:
    """Return the name of a master as WBPP has it, which finds out what it is for by its header.

    Parameters
    ----------
    kind : str
        ``bias``, ``dark`` or ``flat``.
    header : Header
        The primary one of its file.
    """
    size = f"{header['NAXIS1']}x{header['NAXIS2']}"
    said = {"BIN": header.get("XBINNING", 1), "": size}
    if kind == "dark" and "EXPTIME" in header:
        said["EXPOSURE"] = f"{header['EXPTIME']:.2f}s"
    if kind == "flat" and "FILTER" in header:
        said["FILTER"] = value_of(header, "FILTER")
    said |= {keyword: value_of(header, keyword) for keyword in ("GAIN", "OFFSET", "SET-TEMP") if keyword in header}
    parts = [f"{key}-{_OTHERWISE.sub('-', str(value).strip())}".removeprefix("-") for key, value in said.items()]
    return f"{'_'.join([f'master{kind.title()}', *parts])}.xisf"


def wbpp_bytes(
    kind: str, header: fits.Header, image: npt.NDArray[Any], bias: npt.NDArray[Any] | None, *, created: datetime
) -> bytes:
    """Return the file of a master for WBPP.

    Parameters
    ----------
    kind : str
        ``bias``, ``dark`` or ``flat``.
    header : Header
        The primary one of its file.
    image : ndarray of float, shape (rows, columns)
        Its pixels, in ADU; of a flat its response.
    bias : ndarray of float, shape (rows, columns), or None
        What is put back into a dark, in ADU: WBPP takes darks with the bias in them.
    created : datetime
        When it was made.

    Raises
    ------
    UnfitError
        If it has pixels that PixInsight would change: it cuts what is below 0, or above the white of the raw frames.
    """
    pixels = np.asarray(image, dtype=np.float32)
    if bias is not None:
        pixels = pixels + np.asarray(bias, dtype=np.float32)
    upper = max(1.0, float(pixels.max())) if kind == "flat" else _WHITE_ADU
    cut = 1 - float(np.mean((pixels >= 0) & (pixels <= upper)))
    if cut > _MOST_CUT:
        raise UnfitError(f"{cut:.2%} of its pixels are outside of 0 to {upper:g}, which is all that PixInsight keeps")
    cards = [(card.keyword, card.value, card.comment) for card in header.cards if card.keyword not in _OF_THE_FILE]
    return xisf_bytes(pixels, image_type=_IMAGE_TYPES[kind], upper=upper, created=created, cards=cards)
