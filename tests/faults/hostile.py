"""Files that try to harm their reader: the table of known kinds, and mutants of good files."""

from __future__ import annotations

import gzip
import io
import lzma
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

RNG = np.random.default_rng(9)
PIXELS = RNG.normal(1000, 20, (48, 64)).astype(np.uint16)
DATA_END = 2880 + PIXELS.nbytes

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Hostile:
    """A kind of file.

    Parameters
    ----------
    name : str
        What it is.
    make : callable
        Makes it at a path.
    said : str
        Part of the reason why it is refused; or, where it is accepted, of what is said of it.
    accepted : bool
        Whether it is a frame in spite of that.
    """

    name: str
    make: Make
    said: str
    accepted: bool = False


def encoded(*hdus: fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU | fits.BinTableHDU, sums: bool = False) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream, checksum=sums)
    return stream.getvalue()


def primary(data: np.ndarray | None = PIXELS, **cards: object) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU(data)
    hdu.header.update({"IMAGETYP": "bias", "EXPTIME": 0.0, "DATE-OBS": "2022-09-19T21:00:00", "INSTRUME": "cam"})
    hdu.header.update(cards)
    return hdu


def with_value(content: bytes, keyword: str, value: str) -> bytes:
    """Give a card of the first header another value, written as it stands."""
    start = content.index(f"{keyword:8}=".encode())
    return content[:start] + f"{keyword:8}= {value:>20}".ljust(80).encode() + content[start + 80 :]


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def compressed(kind: str) -> bytes:
    hdu = fits.CompImageHDU(PIXELS, primary().header, compression_type=kind)
    return encoded(fits.PrimaryHDU(), hdu, sums=True)


PLAIN = encoded(primary())
WITH_SUMS = encoded(primary(), sums=True)
PACKED = compressed("RICE_1")
CARD = b"COMMENT who writes a million cards?".ljust(80)


def _content(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def _sparse(length: int, rows: int) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(with_value(with_value(PLAIN, "NAXIS1", "30000"), "NAXIS2", str(rows))[:2880])
        os.truncate(path, length)

    return make


def _bomb(path: Path) -> None:
    """4 GiB of zeros behind a header that claims them, in 4 MB."""
    head = with_value(with_value(PLAIN, "NAXIS1", "65536"), "NAXIS2", "32767")[:2880]
    path.write_bytes(gzip.compress(head) + gzip.compress(bytes(2**26)) * 64)


def _packed_bomb() -> bytes:
    return PACKED.replace(b"ZNAXIS1 =                   64", b"ZNAXIS1 =                65536").replace(
        b"ZNAXIS2 =                   48", b"ZNAXIS2 =                30000"
    )


def _twice() -> bytes:
    hdu = primary()
    hdu.header.append(("EXPTIME", 5.0))
    return encoded(hdu)


def _nan() -> bytes:
    return encoded(primary(np.full((48, 64), np.nan, np.float32)))


TABLE = (
    Hostile("no byte", _content(b""), "is not written yet"),
    Hostile("part of a header", _content(PLAIN[:1000]), "is cut off"),
    Hostile("half of the data", _content(PLAIN[: DATA_END - 3000]), "is cut off"),
    Hostile("last byte missing", _content(PLAIN[:-1]), "1 bytes of padding are missing", accepted=True),
    Hostile("padding missing", _content(PLAIN[:DATA_END]), "bytes of padding are missing", accepted=True),
    Hostile("claims 75 GiB", _content(with_value(PLAIN[:2880], "NAXIS2", "629145600")), "claims 75.0 GiB"),
    Hostile("NAXIS = 999", _content(with_value(PLAIN, "NAXIS", "999")), "claims 999 axes"),
    Hostile("BITPIX = 12", _content(with_value(PLAIN, "BITPIX", "12")), "says BITPIX = 12"),
    Hostile("negative NAXIS1", _content(with_value(PLAIN, "NAXIS1", "-64")), "says '-64' for NAXIS1"),
    Hostile("no NAXIS2", _content(PLAIN.replace(b"NAXIS2 ", b"NAXISX ")), "has no NAXIS2"),
    Hostile("no END, 200 MB", lambda path: path.write_bytes(PLAIN[:800] + CARD * 2_600_000), "more than 3600 cards"),
    Hostile(
        "1e6 cards",
        lambda path: path.write_bytes(PLAIN[:800] + CARD * 1_000_000 + PLAIN[800:]),
        "more than 3600 cards",
    ),
    Hostile(
        "20 000 units",
        lambda path: path.write_bytes(
            encoded(fits.PrimaryHDU()) + encoded(fits.PrimaryHDU(), fits.ImageHDU())[2880:] * 20_000
        ),
        "more than 16 MiB of headers",
    ),
    Hostile("gzip bomb", _bomb, "bytes or more when decompressed: no camera's frame does"),
    Hostile("xz bomb", lambda path: path.write_bytes(lzma.compress(bytes(2**24), preset=0)), "is not a FITS file"),
    Hostile(
        "gzip with a flipped byte", lambda path: path.write_bytes(flipped(gzip.compress(PLAIN), 3000)), "is damaged"
    ),
    Hostile("fpack with corrupt tiles", _content(flipped(PACKED, len(PACKED) - 4000)), "does not match"),
    Hostile("fpack bomb", _content(_packed_bomb()), "no camera's frame does"),
    Hostile("10 GB sparse", _sparse(10 * 10**9, 166_000), "is 9.3 GiB long; at most 4 GiB are read"),
    Hostile("3 GB sparse", _sparse(2880 * 1_050_000, 50_000), "MiB of memory"),
    Hostile("BSCALE = 0", _content(with_value(PLAIN, "BSCALE", "0")), "give no pixel values"),
    Hostile("BSCALE = 1e308", _content(with_value(PLAIN, "BSCALE", "1e308")), "give no pixel values"),
    Hostile("BSCALE text", _content(with_value(PLAIN, "BSCALE", "'one'")), "give no pixel values"),
    Hostile("BSCALE = NaN", _content(with_value(PLAIN, "BSCALE", "NaN")), "cannot be decoded"),
    Hostile("wrong checksum", _content(flipped(WITH_SUMS, DATA_END - 100)), "its DATASUM does not match"),
    Hostile("EXPTIME twice", _content(_twice()), "EXPTIME stands more than once", accepted=True),
    Hostile("SIMPLE = F", _content(with_value(PLAIN, "SIMPLE", "F")), "it says SIMPLE = F"),
    Hostile(
        "NUL in a card", _content(PLAIN.replace(b"'cam     '", b"'cam\0\0\0\0\0'")), "NUL in place of", accepted=True
    ),
    Hostile("newline in a card", _content(PLAIN.replace(b"'cam     '", b"'c\nm     '")), "", accepted=True),
    Hostile("all NaN", _content(_nan()), "has no finite pixel"),
    Hostile("a FIFO", os.mkfifo, "is not a regular file"),
    Hostile("a link to /dev/zero", lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
)


@dataclass(frozen=True)
class Seed:
    """A good file that mutants are made of; ``guarded`` where sums tell every change of its pixels."""

    content: bytes
    guarded: bool


def _seeds() -> dict[str, Seed]:
    parts = [fits.ImageHDU(half, name=name) for name, half in (("A", PIXELS[:, :32]), ("B", PIXELS[:, 32:]))]
    column = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0, 2.0])])
    noisy = PIXELS.astype(np.float32)
    noisy[3, 5] = np.nan
    return {
        "plain": Seed(PLAIN, False),
        "sums": Seed(WITH_SUMS, True),
        "gzip": Seed(gzip.compress(PLAIN), True),
        "rice": Seed(PACKED, True),
        "gzip tiles": Seed(compressed("GZIP_1"), True),
        "hcompress": Seed(compressed("HCOMPRESS_1"), True),
        "extensions": Seed(encoded(primary(None), *parts, sums=True), True),
        "cube": Seed(encoded(primary(PIXELS[None])), False),
        "float": Seed(encoded(primary(noisy)), False),
        "with a table": Seed(encoded(primary(), column), False),
    }


SEEDS = _seeds()
VALUES = (
    "-1",
    "0",
    "7",
    "999",
    "99999999999999999999",
    "1e308",
    "NaN",
    "T",
    "'x'",
    "''",
    "",
    "'\x00'",
    "'\n'",
    "-32",
    "64",
)


def mutant(rng: np.random.Generator, content: bytes) -> bytes:
    """Return a file that is not quite the same."""
    mutated = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        MUTATIONS[rng.integers(len(MUTATIONS))](rng, mutated)
    return bytes(mutated)


def _flip(rng: np.random.Generator, content: bytearray) -> None:
    if content:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))


def _overwrite(rng: np.random.Generator, content: bytearray) -> None:
    span = _span(rng, content)
    content[span] = rng.bytes(span.stop - span.start)


def _truncate(rng: np.random.Generator, content: bytearray) -> None:
    del content[_span(rng, content).start :]


def _delete(rng: np.random.Generator, content: bytearray) -> None:
    del content[_span(rng, content)]


def _repeat(rng: np.random.Generator, content: bytearray) -> None:
    span = _span(rng, content)
    content[span.stop : span.stop] = content[span]


def _zero_tail(rng: np.random.Generator, content: bytearray) -> None:
    start = _span(rng, content).start
    content[start:] = bytes(len(content) - start)


def _append(rng: np.random.Generator, content: bytearray) -> None:
    content += rng.bytes(int(rng.integers(1, 6000)))


def _splice(rng: np.random.Generator, content: bytearray) -> None:
    other = list(SEEDS.values())[rng.integers(len(SEEDS))].content
    cut = 2880 * int(rng.integers(0, 4))
    content[cut:] = other[cut:]


def _set_value(rng: np.random.Generator, content: bytearray) -> None:
    """Write something odd into one card of the first headers, also where there is none."""
    start = 80 * int(rng.integers(0, 120))
    value = VALUES[rng.integers(len(VALUES))].encode()
    content[start + 10 : start + 30] = value.rjust(20)[:20]


def _swap_cards(rng: np.random.Generator, content: bytearray) -> None:
    """Swap two cards of the first header; a DATASUM does not tell words of 32 bits that were swapped."""
    first, second = (80 * int(n) for n in rng.integers(0, max(1, content.find(b"END     ") // 80), 2))
    one, other = content[first : first + 80], content[second : second + 80]
    if len(one) == len(other):
        content[first : first + 80], content[second : second + 80] = other, one


def _span(rng: np.random.Generator, content: bytearray) -> slice:
    start = int(rng.integers(len(content) + 1))
    return slice(start, min(len(content), start + int(rng.integers(1, 400))))


MUTATIONS = (
    _flip,
    _flip,
    _overwrite,
    _truncate,
    _delete,
    _repeat,
    _zero_tail,
    _append,
    _splice,
    _set_value,
    _set_value,
    _swap_cards,
)
