"""Walks the structure of a FITS stream before any library decodes it, and trusts no number in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from math import prod
from pathlib import Path
from typing import BinaryIO

from ccdcore.errors import FrameReadError

BLOCK = 2880
MAX_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 16 * 2**20
"""Of all headers together: hundreds of units with thousands of cards, but not what keeps a library busy for minutes."""
MAX_RATIO = 100
"""Decompressed bytes for each compressed one; a camera's noise leaves no more than 20."""
SMALL_BYTES = 16 * 2**20
"""What is no larger than this decompressed may be compressed to nothing: an image of zeros."""

_CARD = 80
_MAX_CARDS = 3600
_MAX_AXES = 7
_BITPIX = {8, 16, 32, 64, -32, -64}
_FIRST = b"SIMPLE  ="
_NEXT = b"XTENSION"
_TEXT = re.compile(rb"(?:HIERARCH +([^=]+?)|([^= ]{1,8})) *= *'((?:[^']|'')*)'")
"""A card with text: its keyword, of one kind or the other, and the text with its quotation marks doubled."""

_CHECKSUMS = {"CHECKSUM", "DATASUM"}

_Header = dict[str, str]


@dataclass(slots=True)
class Blemishes:
    """What is not as the standard wants it, and does no harm once it is mended.

    Parameters
    ----------
    headers_with_nul : list of slice
        Headers, in bytes of the stream, that hold NUL where blanks belong.
    missing_bytes : int
        Padding that is missing at the end; some writers leave it out.
    strange_bytes : int
        What follows the last unit; nothing need be mended for it.
    decoded_bytes : int
        No blemish: how long all data are when tiles are decompressed.
    texts : dict
        Unit → keyword → text of the cards that hold more than ASCII, which libraries replace by question marks.
    lossy : str or None
        The compression that changed pixels, in words.
    has_checksums : bool
        No blemish: whether any unit has a CHECKSUM or DATASUM to verify.
    """

    headers_with_nul: list[slice] = field(default_factory=list)
    missing_bytes: int = 0
    strange_bytes: int = 0
    decoded_bytes: int = 0
    texts: dict[int, dict[str, str]] = field(default_factory=dict)
    lossy: str | None = None
    has_checksums: bool = False

    def __bool__(self) -> bool:
        return bool(self.headers_with_nul or self.missing_bytes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What they are, in words."""
        nul = f"NUL in place of blanks in {len(self.headers_with_nul)} of its headers"
        padding = f"{self.missing_bytes} bytes of padding are missing at its end"
        strange = f"{self.strange_bytes} bytes behind its last unit are no part of FITS"
        found = {nul: self.headers_with_nul, padding: self.missing_bytes, strange: self.strange_bytes}
        lossy = f"compressed with loss ({self.lossy}): its noise is not the camera's"
        found[lossy] = self.lossy
        return tuple(note for note, is_so in found.items() if is_so)

    def mended(self, content: bytes) -> bytes:
        """Return the content of a stream without them."""
        mended = bytearray(content)
        for header in self.headers_with_nul:
            mended[header] = mended[header].replace(b"\0", b" ")
        return bytes(mended + bytes(self.missing_bytes))


def check_structure(stream: BinaryIO, path: Path) -> Blemishes:
    """Follow headers and data from one to the next, to the end of the file.

    Parameters
    ----------
    stream : seekable binary stream
        The file's content, decompressed.
    path : Path
        The file's name, for messages.

    Returns
    -------
    Blemishes
        What must be mended before a library decodes the stream; false where nothing must.

    Raises
    ------
    FrameReadError
        If it is no FITS file, claims what cannot be, or ends too early (then
        with ``incomplete`` set).
    """
    size = stream.seek(0, os.SEEK_END)
    _check_beginning(stream, path)
    start, promised, in_headers, blemishes = 0, 0, 0, Blemishes()
    for number in count():
        stream.seek(start)
        header, raw = _read_header(stream, path, number)
        in_headers += len(raw)
        if in_headers > MAX_HEADER_BYTES:
            break
        if b"\0" in raw:
            blemishes.headers_with_nul.append(slice(start, stream.tell()))
        if texts := dict(_texts(raw)):
            blemishes.texts[number] = texts
        blemishes.lossy = blemishes.lossy or _lossy(header)
        blemishes.has_checksums |= not _CHECKSUMS.isdisjoint(map(str.upper, header))
        promised = promised or _promised_extensions(header)
        data_bytes = _data_bytes(header, path, number)
        blemishes.decoded_bytes += _decoded_bytes(header, path, number, data_bytes)
        end = stream.tell() + data_bytes
        if end > size:
            raise FrameReadError(path, f"is cut off: it holds {size} of at least {end} bytes", incomplete=True)
        start = -(-end // BLOCK) * BLOCK
        stream.seek(start)
        if not _extension_follows(stream):
            if number < promised:
                raise FrameReadError(path, f"is cut off: {number} of {promised} extensions", incomplete=True)
            blemishes.missing_bytes = max(0, start - size)
            blemishes.strange_bytes = _strange_bytes(stream, start, size)
            if number and blemishes.strange_bytes >= max(data_bytes, BLOCK):  # a lost unit may hide there
                raise FrameReadError(path, f"is damaged: what follows unit {number} is no extension; copy it again")
            return blemishes
    raise FrameReadError(path, f"has more than {MAX_HEADER_BYTES // 2**20} MiB of headers, which no camera writes")


def primary_header(stream: BinaryIO, path: Path) -> tuple[dict[str, str], int]:
    """Return the cards of the first header, undecoded, and where the data behind it begin.

    Parameters and errors are those of `check_structure`, which is to be called first.
    """
    stream.seek(0)
    header, _ = _read_header(stream, path, 0)
    return header, stream.tell()


def _check_beginning(stream: BinaryIO, path: Path) -> None:
    stream.seek(0)
    beginning = stream.read(_CARD)
    if not beginning.strip(b"\0"):
        raise FrameReadError(path, "is not written yet: it is empty or begins with zeros", incomplete=True)
    if not beginning.startswith(_FIRST):
        incomplete = len(beginning) < len(_FIRST)
        raise FrameReadError(path, f"is not a FITS file: it begins with {beginning[:16]!r}", incomplete=incomplete)
    if len(beginning) == _CARD and _value(beginning) != "T":
        raise FrameReadError(path, "is not a standard FITS file: it says SIMPLE = F")


def _value(card: bytes) -> str:
    return card[10:].split(b"/")[0].strip().decode("latin-1")


def _extension_follows(stream: BinaryIO) -> bool:
    """Whether another header begins here; what else follows the last data is no part of FITS."""
    beginning = stream.read(len(_NEXT))
    return bool(beginning) and _NEXT.startswith(beginning)


def _strange_bytes(stream: BinaryIO, start: int, size: int) -> int:
    """Return how much follows the last unit, where that is neither nothing nor padding."""
    stream.seek(start)
    return size - start if stream.read(BLOCK).strip(b"\0 ") else 0


def _texts(header: bytes) -> Iterator[tuple[str, str]]:
    """Yield keyword and text of the cards of a header that hold more than ASCII: UTF-8, or else what Windows wrote."""
    if header.isascii():
        return
    for position in range(0, len(header), _CARD):
        card = header[position : position + _CARD]
        if not card.isascii() and (found := _TEXT.match(card)):
            keyword = (found[1] or found[2]).decode("latin-1").strip().upper()
            content = found[3].replace(b"''", b"'").rstrip()
            try:
                yield keyword, content.decode("utf-8")
            except UnicodeDecodeError:
                yield keyword, content.decode("cp1252", errors="backslashreplace")


def _read_header(stream: BinaryIO, path: Path, number: int) -> tuple[_Header, bytes]:
    """Return keyword → value (undecoded) and all bytes of a header, and leave the stream behind its last block."""
    header: _Header = {}
    blocks: list[bytes] = []
    for _ in range(_MAX_CARDS * _CARD // BLOCK):
        blocks.append(stream.read(BLOCK))
        block = blocks[-1].replace(b"\0", b" ")
        for position in range(0, len(block), _CARD):
            card = block[position : position + _CARD]
            keyword = card[:8].rstrip().decode("latin-1")
            if keyword == "END" and len(block) == BLOCK:
                return header, b"".join(blocks)
            header.setdefault(keyword, _value(card))
        if len(block) < BLOCK:
            raise FrameReadError(path, f"is cut off in the header of unit {number}", incomplete=True)
    raise FrameReadError(path, f"has a header of more than {_MAX_CARDS} cards in unit {number}, or one with no END")


def _data_bytes(header: _Header, path: Path, number: int) -> int:
    """Size of the data that a header claims, without padding."""
    return _claim(header, "", path, number)


def _decoded_bytes(header: _Header, path: Path, number: int, data_bytes: int) -> int:
    """Size of the same when decompressed."""
    if header.get("ZIMAGE") != "T":
        return data_bytes
    decoded = _claim(header, "Z", path, number)
    require_ratio(path, decoded, data_bytes)
    return decoded


def _lossy(header: _Header) -> str | None:
    """Return in words a compression that changes pixels: rounded floating-point numbers, or H-compress with a scale."""
    if header.get("ZIMAGE") != "T":
        return None
    said = {keyword: value.strip("' ") for keyword, value in header.items()}
    method, rounding = said.get("ZCMPTYPE", ""), said.get("ZQUANTIZ", "")
    if said.get("ZBITPIX", "").startswith("-"):
        is_rounded = rounding != "NONE" if rounding else "ZSCALE" in said.values() or "ZSCALE" in said
        return f"{method}, ZQUANTIZ = {rounding or 'none said'}" if is_rounded else None
    scales = [said.get(f"ZVAL{keyword[5:]}", "0") for keyword, value in said.items() if value == "SCALE"]
    is_smoothed = method == "HCOMPRESS_1" and any(scale.strip("0.") for scale in scales)
    return f"{method}, scale {scales[0]}" if is_smoothed else None


def require_ratio(path: Path, decompressed: int, compressed: int) -> None:
    """Refuse what fills the memory out of nothing.

    Parameters
    ----------
    path : Path
        The file's name, for messages.
    decompressed, compressed : int
        Sizes in bytes.

    Raises
    ------
    FrameReadError
        If the ratio of the two is none of a camera's frame.
    """
    if decompressed > max(SMALL_BYTES, MAX_RATIO * compressed):
        raise FrameReadError(
            path, f"grows from {compressed} to {decompressed} bytes or more when decompressed: no camera's frame does"
        )


def _claim(header: _Header, prefix: str, path: Path, number: int) -> int:
    def integer(keyword: str, default: str | None = None) -> int:
        value = header.get(keyword, default)
        if value is None or not value.isascii() or not value.isdigit() or len(value) > 18:
            said = "has no" if value is None else f"says {value!r} for"
            raise FrameReadError(path, f"{said} {keyword} in the header of unit {number}, where a count belongs")
        return int(value)

    bitpix = header.get(f"{prefix}BITPIX", "")
    if bitpix not in map(str, _BITPIX):
        raise FrameReadError(path, f"says BITPIX = {bitpix or 'nothing'} in unit {number}: FITS has no such type")
    axes = integer(f"{prefix}NAXIS")
    if axes > _MAX_AXES:
        raise FrameReadError(path, f"claims {axes} axes in unit {number}; at most {_MAX_AXES} are read")
    lengths = [integer(f"{prefix}NAXIS{axis}") for axis in range(1, axes + 1)]
    elements = prod(lengths) if lengths else 0
    if not prefix:
        elements = integer("GCOUNT", "1") * (elements + integer("PCOUNT", "0"))
    size = abs(int(bitpix)) // 8 * elements
    if size > MAX_BYTES:
        raise FrameReadError(path, f"claims {size / 2**30:.1f} GiB of data in unit {number}; at most 4 GiB are read")
    return size


def _promised_extensions(header: _Header) -> int:
    promised = header.get("NEXTEND", "0")
    return int(promised) if promised.isascii() and promised.isdigit() and len(promised) < 4 else 0
