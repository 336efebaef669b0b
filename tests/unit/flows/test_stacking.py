"""`ccdwatch combine`: what it writes, and that nothing is left where it cannot."""

import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from ccdcore.combining import combine
from ccdcore.master_file import read_master
from tests.support.command import ccdwatch


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"bias_{number}.fits" for number in range(5)]
    for number, path in enumerate(paths):
        hdu = fits.PrimaryHDU(rng.normal(1000, 3, (20, 30)).astype(np.uint16))
        hdu.header["DATE-OBS"], hdu.header["EXPTIME"] = f"2022-09-19T20:0{number}:00", 0.0
        hdu.writeto(path, checksum=True)
    return paths


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out" / "stack.fits"


def test_it_writes_the_clipped_mean(files, output):
    said = ccdwatch("combine", *files, "-o", output, "--clip-sigma", "2,3")
    assert (said.status, said.out) == (0, b"")
    assert said.err == f"{output}: the mean of 5 frames\n"
    expected = combine(files, clip_sigma=(2.0, 3.0))
    stack = read_master(output)
    np.testing.assert_array_equal(stack.value, expected.value.astype(np.float32))
    np.testing.assert_array_equal(stack.uncertainty, expected.uncertainty)
    np.testing.assert_array_equal(stack.n_used, expected.n_used)
    assert [entry.path for entry in stack.inputs] == files
    assert [entry.rejected_fraction for entry in stack.inputs] == list(expected.rejected_fraction)
    assert (stack.kind, stack.clip_sigma) == ("stack", (2.0, 3.0))
    header = fits.getheader(output)
    assert (header["IMAGETYP"], header["NCOMBINE"], header["DATE-OBS"]) == (
        "MASTER STACK",
        5,
        "2022-09-19T20:00:00.000000",
    )
    assert CCDData.read(output).unit == "adu"


def nothing_was_written(output):
    return not output.parent.exists() or not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "is cut off: it holds 3000 of at least"),
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
        (lambda path: fits.writeto(path, np.zeros((3, 4)), overwrite=True), r"its shape is \(3, 4\), that of .*bias_0"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"\x83", b"\x84")), "is damaged: its DATASUM"),
    ],
)
def test_one_error_names_the_file(files, output, spoil, reason):
    spoil(files[3])
    said = ccdwatch("combine", *files, "-o", output)
    assert said.status == 1
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(f"ccdwatch: {files[3]}")
    assert re.search(reason, said.err)
    assert nothing_was_written(output)


def test_it_overwrites_nothing(files, output):
    output.parent.mkdir()
    output.write_text("precious")
    said = ccdwatch("combine", *files, "-o", output)
    assert said.status == 2
    assert said.err == f"ccdwatch: {output}: is there already: give another -o FILE, or remove it first\n"
    assert output.read_text() == "precious"


@pytest.mark.parametrize("words", ["1,2,3", "high", "0", "-1,3"])
def test_thresholds_are_one_or_two_positive_numbers(files, output, words):
    said = ccdwatch("combine", *files, "-o", output, "--clip-sigma", words)
    assert said.status == 2
    assert "is neither one positive number nor two: write 7 or 5,3" in said.err


def test_an_interrupt_leaves_nothing(files, output, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.stacking.combine", interrupt)
    assert ccdwatch("combine", *files, "-o", output).status == 1
    assert nothing_was_written(output)
