"""The images in a master's file, found without reading them, and read row by row from that very file."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.errors import FrameReadError
from ccdcore.io.stored_pixels import stored_planes


def written(path: Path) -> fits.HDUList:
    rng = np.random.default_rng(1)
    value = fits.PrimaryHDU(rng.normal(300, 5, (20, 30)).astype(np.float32))
    mask = fits.ImageHDU(rng.integers(0, 255, (20, 30)).astype(np.uint8), name="MASK")
    n_used = fits.ImageHDU(rng.integers(0, 60_000, (20, 30)).astype(np.uint16), name="NCOMBINE")
    table = fits.BinTableHDU.from_columns([fits.Column("path", "10A", array=["a", "b"])], name="PROVENANCE")
    hdus = fits.HDUList([value, mask, n_used, table])
    hdus.writeto(path, checksum=True)
    return hdus


def test_every_image_is_read_as_astropy_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "master.fits"
    written(path)
    planes = stored_planes(path, path.open("rb"))
    assert set(planes) == {"", "MASK", "NCOMBINE"}
    with fits.open(path) as hdus:
        for name, plane in planes.items():
            expected = hdus[name or 0].data
            assert plane.shape == (20, 30)
            assert (plane[3:7] == expected[3:7]).all()
            assert (plane[::6] == expected[::6]).all()


def test_another_file_in_its_place_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "master.fits"
    written(path)
    planes = stored_planes(path, path.open("rb"))
    content = path.read_bytes()
    path.rename(tmp_path / "aside")
    path.write_bytes(content)
    with pytest.raises(FrameReadError, match="changed while it was read"):
        planes["MASK"][:1]


def test_of_a_compressed_file_there_are_none_and_a_short_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "master.fits"
    written(path)
    packed, short = tmp_path / "master.fits.gz", tmp_path / "short.fits"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert stored_planes(packed, packed.open("rb")) == {}
    short.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(FrameReadError, match="cut off"):
        stored_planes(short, short.open("rb"))
