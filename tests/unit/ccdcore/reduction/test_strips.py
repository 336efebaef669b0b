"""Large frames: what is done strip by strip comes out as of the whole, and takes no more memory than it should."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.combining import combine
from ccdcore.consistency import pattern_check
from ccdcore.consistency import residuals as left_of_frames
from ccdcore.flat_pairs import flat_pair, residuals
from ccdcore.frames.frame import Frame, SeriesFrame
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import measure_frame, read_image
from ccdcore.io.stored_pixels import stored_pixels
from ccdcore.masters import bad_pixels, check, stack
from ccdcore.masters.bad_pixels import find_bad_pixels
from ccdcore.masters.build import check_master, master_bias, master_flat, residual
from ccdcore.noise import anatomy as noise
from ccdcore.noise import bias_series, frame_noise
from ccdcore.noise.anatomy import measure_noise
from ccdcore.photon_transfer.measure import measure_gain
from ccdcore.reduction.master import Master
from ccdcore.reduction.reduce import ReducedPixels, reduce_frame

LARGE = 3000, 640
MOST_BYTES = {"gain": 28, "noise": 20, "bias": 18, "flat": 30, "check": 34, "residual": 30, "bad": 36}
"""For each pixel; a master takes 11, of which two are held from "check" on."""

Series = tuple[list[SeriesFrame], list[SeriesFrame]]


def series(folder: Path, shape: tuple[int, int], n: int = 3) -> Series:
    """Write biases, and flats of an uneven light, and return them as they are on record."""
    rng = np.random.default_rng(7)
    light = 20_000 * (1 - 0.3 * np.linspace(-1, 1, shape[0])[:, None] ** 2 * np.ones(shape[1]))
    found: dict[str, list[SeriesFrame]] = {"Bias Frame": [], "Flat": []}
    for number in range(n):
        for kind, frames in found.items():
            pixels = rng.normal(500, 3, shape) + (rng.poisson(light) / 1.6 if kind == "Flat" else 0)
            pixels[rng.random(shape) < 1e-4] += 900
            hdu = fits.PrimaryHDU(np.rint(pixels).astype(np.uint16))
            hdu.header.update({"IMAGETYP": kind, "EXPTIME": 2.0 if kind == "Flat" else 0.0, "INSTRUME": "large"})
            begin = datetime(2024, 3, 10, 20 if kind == "Flat" else 19, tzinfo=UTC) + timedelta(minutes=number)
            hdu.header["DATE-OBS"] = begin.replace(tzinfo=None).isoformat()
            path = folder / f"{kind[:4]}{number}.fits"
            hdu.writeto(path)
            one = measure_frame(path)
            frames.append(SeriesFrame(one.sha256, path, one.shape, one.info, one.amplifiers, one.statistics))
    return found["Bias Frame"], found["Flat"]


@given(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 7), st.integers(0, 30 * 24), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_rows_of_a_frame_are_reduced_as_all_of_them(first: int, last: int, step: int, start: int, n: int) -> None:
    rng = np.random.default_rng(5)
    raw = rng.integers(900, 1100, (30, 24)).astype(np.uint16)
    raw[4:7, 3:9] = 4095
    amplifiers = (
        Amplifier("1", Section(1, 10, 2, 14), Section(11, 12, 3, 30)),
        Amplifier("2", Section(13, 24, 1, 20)),
    )
    info = ExposureInfo(FrameType.FLAT, "test", "camera", "test", "bin1x1")
    frame = Frame(Path("flat.fits"), raw, info, amplifiers, "1")
    mean = rng.normal(10, 1, raw.shape).astype(np.float32)
    bias = Master("bias", mean, mean, np.zeros(raw.shape, np.uint8), np.ones(raw.shape, np.uint16), "adu", (7, 7), ())
    whole = reduce_frame(frame, bias=bias)
    assert np.isnan(whole).any()
    some = ReducedPixels.of(frame, raw, bias)
    np.testing.assert_array_equal(some[first:last:step], whole[first:last:step])
    run = np.empty(min(n, whole.size - start), np.float32)
    some.read(start, run)
    np.testing.assert_array_equal(run, whole.reshape(-1)[start : start + run.size])


@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "f4", "f8"])
def test_rows_of_a_file_are_those_of_its_image(tmp_path: Path, kind: str) -> None:
    rng, path = np.random.default_rng(6), tmp_path / "frame.fits"
    low, high = (0, 1000) if kind[0] == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    fits.PrimaryHDU(rng.integers(low, high, (20, 9), endpoint=True).astype(kind)).writeto(path)
    stored, image = stored_pixels(path), read_image(path)
    assert stored is not None
    for rows in (slice(None), slice(3, 11), slice(1, None, 4), slice(5, 5)):
        np.testing.assert_array_equal(stored[rows], image[rows], strict=True)


def test_no_result_depends_on_the_height_of_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    biases, flats = series(tmp_path, (150, 200), 5)

    def results() -> list[Any]:
        bias = master_bias(biases)
        flat = master_flat(flats, bias=bias)
        bad = find_bad_pixels(bias, amplifiers=biases[0].amplifiers, read_noise_adu=3.0, flats=[flat])
        transfer, anatomy = measure_gain(biases, flats), measure_noise(biases)
        assert transfer[0].gain_e_per_adu is not None
        images = [flat.value, flat.uncertainty, residual(flats[0], flat, bias=bias), bad.mask]
        return [repr(transfer), repr(anatomy), check_master(flat, flats[1], bias=bias), *images]

    of_tall = results()
    monkeypatch.setattr(flat_pair, "_BAND_ROWS", 7)
    monkeypatch.setattr(bias_series, "_STRIP_ROWS", 3)
    monkeypatch.setattr(noise, "_STRIP_ROWS", 11)
    monkeypatch.setattr(bad_pixels, "_BAND_ROWS", 5)
    monkeypatch.setattr(left_of_frames, "_ROWS_AT_A_TIME", 13)
    monkeypatch.setattr(stack, "_STRIP_PIXELS", 777)
    monkeypatch.setattr(stack, "_MEMORY_LIMIT", 0)  # reduced frames are made again whenever they are needed
    for tall, low in zip(of_tall, results(), strict=True):
        np.testing.assert_array_equal(tall, low)


def test_a_large_frame_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes for each pixel of a frame, with what masters are held by then; parts of frames that are enough made small.

    The smaller parts stand for what does not grow with the frame, so that a small frame tells of a large one.
    """
    biases, flats = series(tmp_path, LARGE)
    measure_gain([one.path for one in biases], [one.path for one in flats], region="[1:64,1:64]")  # compiled before
    for module in (flat_pair, stack, check, left_of_frames):
        monkeypatch.setattr(module, "_ENOUGH_PIXELS", 2**16, raising=False)
    monkeypatch.setattr(residuals, "_FIRST_LOOK_PIXELS", 2**16)
    monkeypatch.setattr(pattern_check, "_PIXELS_AT_A_TIME", 2**16)
    monkeypatch.setattr(frame_noise, "_MOST_PIXELS", 2**16)
    monkeypatch.setattr(bias_series, "_CORRELATED_PIXELS", 2**16)
    monkeypatch.setattr(combine, "_STRIP_BYTES", 2**19)
    monkeypatch.setattr(stack, "_STRIP_PIXELS", 2**14)
    monkeypatch.setattr(stack, "_MEMORY_LIMIT", 0)
    taken = {}

    def peak(name: str, make: Callable[[], Any]) -> Any:
        tracemalloc.reset_peak()
        made = make()
        taken[name] = tracemalloc.get_traced_memory()[1] / (LARGE[0] * LARGE[1])
        return made

    tracemalloc.start()
    try:
        peak("gain", lambda: measure_gain(biases, flats))
        peak("noise", lambda: measure_noise(biases))
        bias = peak("bias", lambda: master_bias(biases, noise_adu=3.0))
        flat = peak("flat", lambda: master_flat(flats, bias=bias, noise_adu=3.0, gain_e_per_adu=1.6))
        peak("check", lambda: check_master(flat, flats[1], bias=bias, noise_adu=3.0, gain_e_per_adu=1.6))
        peak("residual", lambda: residual(flats[0], flat, bias=bias))
        amplifiers = biases[0].amplifiers
        peak("bad", lambda: find_bad_pixels(bias, amplifiers=amplifiers, read_noise_adu=3.0, flats=[flat]))
    finally:
        tracemalloc.stop()
    assert all(taken[name] < most for name, most in MOST_BYTES.items()), str(taken)
