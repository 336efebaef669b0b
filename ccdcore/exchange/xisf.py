"""Images in XISF 1.0, the format of PixInsight: one file with a header in XML and its pixels after it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

ImageType = Literal["MasterBias", "MasterDark", "MasterFlat"]

_SIGNATURE = b"XISF0100"
_ALIGNED = 4096
"""Bytes at whose multiples the pixels begin, as PixInsight writes them."""
_SCHEMA = {
    "version": "1.0",
    "xmlns": "http://www.pixinsight.com/xisf",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:schemaLocation": "http://www.pixinsight.com/xisf http://pixinsight.com/xisf/xisf-1.0.xsd",
}


def xisf_bytes(
    image: npt.NDArray[np.floating[Any]],
    *,
    image_type: ImageType,
    upper: float,
    created: datetime,
    cards: Iterable[tuple[str, Any, str]] = (),
) -> bytes:
    """Return an image as a file of XISF. The same image gives the same bytes.

    Parameters
    ----------
    image : ndarray of float, shape (rows, columns)
        The pixels, the first row on top. Who reads the file takes those below 0 for 0, and those above `upper` for it.
    image_type : str
        What the image is.
    upper : float
        The value of a pixel that is white: PixInsight shows and reckons with parts of it. 65535 for what belongs to
        frames of 16 bits, which it takes so, too.
    created : datetime
        When it was made.
    cards : iterable of (str, object, str)
        Cards of a FITS header: keyword, value, comment.

    Notes
    -----
    The parts of the format: https://pixinsight.com/doc/docs/XISF-1.0-spec/XISF-1.0-spec.html
    """
    pixels = np.ascontiguousarray(image, dtype="<f4")
    rows, columns = pixels.shape
    block = pixels.tobytes()
    about = {
        "geometry": f"{columns}:{rows}:1",
        "sampleFormat": "Float32",
        "bounds": f"0:{upper:.9g}",
        "colorSpace": "Gray",
        "imageType": image_type,
        "checksum": f"sha-256:{hashlib.sha256(block).hexdigest()}",
    }
    written = [(keyword, _card_value(value), comment) for keyword, value, comment in cards]
    begin = _ALIGNED
    while len(header := _header({**about, "location": f"attachment:{begin}:{len(block)}"}, created, written)) > begin:
        begin += _ALIGNED
    return header.ljust(begin, b"\0") + block


def _header(image: dict[str, str], created: datetime, cards: Iterable[tuple[str, str, str]]) -> bytes:
    """Return what stands before the pixels."""
    root = ElementTree.Element("xisf", _SCHEMA)
    element = ElementTree.SubElement(root, "Image", image)
    for keyword, value, comment in cards:
        ElementTree.SubElement(element, "FITSKeyword", name=keyword, value=value, comment=comment)
    metadata = ElementTree.SubElement(root, "Metadata")
    when = f"{created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ElementTree.SubElement(metadata, "Property", id="XISF:CreationTime", type="TimePoint", value=when)
    application = ElementTree.SubElement(metadata, "Property", id="XISF:CreatorApplication", type="String")
    application.text = "ccdwatch"
    xml: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return _SIGNATURE + len(xml).to_bytes(4, "little") + bytes(4) + xml


def _card_value(value: Any) -> str:
    """Return a value as it stands in a card of FITS."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"
