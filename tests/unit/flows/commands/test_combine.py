"""`ccdwatch combine`: what it writes, and that nothing is left where it cannot."""

import gzip
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from ccdcore.combining.combine import combine
from ccdcore.masters.file import read_master
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
        "Master Stack",
        5,
        "2022-09-19T20:00:00.000000",
    )
    assert CCDData.read(output).unit == "adu"


def test_an_infinite_threshold_keeps_all_that_is_there(files, output):
    pixels = np.full((20, 30), 900, np.float32)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    fits.PrimaryHDU(pixels).writeto(files[0], overwrite=True)
    said = ccdwatch("combine", *files, "-o", output, "--clip-sigma", "5,inf")
    assert said.status == 0, said.err
    stack = read_master(output)
    assert stack.n_used[0, :3].tolist() == [4, 4, 4]
    assert np.isfinite(stack.value).all()
    assert stack.clip_sigma == (5.0, np.inf)


def test_frames_of_two_units_are_not_mixed(files, output):
    fits.setval(files[3], "BUNIT", value="electron")
    said = ccdwatch("combine", *files, "-o", output)
    assert said.status == 1
    assert f"{files[3]}: its unit is 'electron', that of {files[0]} is 'adu': combine frames of one unit" in said.err
    assert nothing_was_written(output)


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


PAUSE = """
import signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where tests run in the background

def pause(*_):  # in the midst of the work, until the signal comes
    print("at work", flush=True)
    while True:
        time.sleep(0.01)
"""
COMMAND = (
    PAUSE
    + """
import flows.cli.main, flows.commands.combine
real = flows.commands.combine.combine
flows.commands.combine.combine = lambda *paths, **options: real(*paths, **{**options, "progress": pause})
flows.cli.main.main()
"""
)
FUNCTION = (
    PAUSE
    + """
from ccdcore.combining.combine import combine
combine(sys.argv[1:], progress=pause, memory_limit=1)
"""
)


def interrupted(program, *words, temporary):
    """Run a program that pauses in its work, send it SIGINT there; return its status and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_an_interrupt_of_the_command_leaves_nothing(files, output, tmp_path):
    status, said = interrupted(COMMAND, "combine", *files, "-o", output, temporary=tmp_path)
    assert (status, said.split()) == (1, ["Aborted!"])
    assert nothing_was_written(output)
    assert sorted(path for path in tmp_path.iterdir() if path.is_file()) == files


def test_an_interrupt_of_the_function_leaves_nothing(files, tmp_path):
    zipped = [path.with_name(f"{path.name}.gz") for path in files]
    for plain, path in zip(files, zipped, strict=True):
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    status, said = interrupted(FUNCTION, *zipped, temporary=tmp_path)
    assert status == -signal.SIGINT
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert sorted(tmp_path.iterdir()) == zipped


@pytest.mark.parametrize("name", ["link.fits", "notes.txt/stack.fits"])
def test_what_cannot_be_written_is_one_line(files, tmp_path, name):
    (tmp_path / "link.fits").symlink_to(tmp_path / "away" / "stack.fits")
    (tmp_path / "notes.txt").write_text("mine")
    said = ccdwatch("combine", *files, "-o", tmp_path / name)
    assert said.status == 2
    assert said.err.endswith("remove it first\n" if name == "link.fits" else "File exists: give another -o FILE\n")
    assert (tmp_path / "link.fits").is_symlink()
    assert (tmp_path / "notes.txt").read_text() == "mine"
