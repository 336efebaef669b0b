"""Files of XISF as PixInsight reads them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

SCHEMA = "{http://www.pixinsight.com/xisf}"


@dataclass(frozen=True, slots=True)
class XisfImage:
    """Pixels from 0 to 1, shape (rows, columns); attributes of the image; cards, as text."""

    pixels: npt.NDArray[np.float64]
    about: dict[str, str]
    cards: dict[str, str]
    properties: set[str]


def read_xisf(path: Path) -> XisfImage:
    """Read a file of one image, by the specification; what is out of bounds is cut, and all of it scaled to 0 to 1."""
    content = path.read_bytes()
    assert content[:8] == b"XISF0100"
    assert content[12:16] == bytes(4)
    root = ElementTree.fromstring(content[16 : 16 + int.from_bytes(content[8:12], "little")])
    assert root.tag == f"{SCHEMA}xisf"
    assert root.get("version") == "1.0"
    image = root.find(f"{SCHEMA}Image")
    assert image is not None
    columns, rows, channels = map(int, image.attrib["geometry"].split(":"))
    where, begin, length = image.attrib["location"].split(":")
    assert (where, channels, image.attrib["sampleFormat"]) == ("attachment", 1, "Float32")
    assert int(length) == 4 * rows * columns
    block = content[int(begin) : int(begin) + int(length)]
    algorithm, digest = image.attrib["checksum"].split(":")
    assert (algorithm, digest) == ("sha-256", hashlib.sha256(block).hexdigest())
    lower, upper = map(float, image.attrib["bounds"].split(":"))
    pixels = np.frombuffer(block, "<f4").reshape(rows, columns).astype(float)
    pixels = np.where(np.isfinite(pixels), np.clip(pixels, lower, upper), lower)
    cards = {one.attrib["name"]: one.attrib["value"] for one in image.findall(f"{SCHEMA}FITSKeyword")}
    properties = {one.attrib["id"] for one in root.iter(f"{SCHEMA}Property")}
    return XisfImage((pixels - lower) / (upper - lower), dict(image.attrib), cards, properties)
