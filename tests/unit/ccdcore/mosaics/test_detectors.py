"""Large mosaics: what is done detector by detector comes out as of the whole, and takes the memory of one."""

import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.io import read, stored_pixels
from ccdcore.io.digest import pixel_sha256, stored_sha256, strips_sha256
from ccdcore.io.mosaic import Mosaic, find_mosaic
from ccdcore.mosaics import detectors as large
from ccdcore.mosaics.by_detector import by_detector
from ccdcore.mosaics.detectors import detectors_of, image_of, of_detector
from ccdcore.mosaics.measure import measure_frame
from ccdcore.noise.anatomy import measure_noise
from ccdcore.photon_transfer.measure import measure_gain

SHAPE = 96, 80


def write_mosaic(path: Path, n: int = 12, *, dead: str = "", ending: str = "", seed: int = 1) -> Path:
    """Write a bias of so many detectors of two amplifiers with overscans, in an order that is not that of names."""
    rng = np.random.default_rng(seed)
    units: list[fits.ImageHDU] = []
    for number in range(n, 0, -1):
        pixels = rng.normal(1000 + number, 4, SHAPE).round().astype(np.uint16)
        if f"N{number}" == dead:
            pixels[:] = 7
        unit = fits.ImageHDU(pixels, name=f"N{number}")
        unit.header["DATASECA"], unit.header["BIASSECA"] = "[9:40,1:96]", "[1:8,1:96]"
        unit.header["DATASECB"], unit.header["BIASSECB"] = "[41:72,1:96]", "[73:80,1:96]"
        units.append(unit)
    cards = {"OBSTYPE": "zero", "INSTRUME": "many", "EXPTIME": 0.0, "DATE-OBS": f"2026-03-01T00:00:0{seed}"}
    small = fits.ImageHDU(np.zeros((8, 80), np.uint16), name="F1")
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards)), *units, small]).writeto(
        target := path.with_name(path.name + ending)
    )
    return target


def series_frame(path: Path) -> SeriesFrame:
    """Return a frame as it is on record."""
    one = read.measure_frame(path)
    return SeriesFrame(one.sha256, path, one.shape, one.info, one.amplifiers, one.statistics)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take frames of some thousand pixels for large."""
    monkeypatch.setattr(large, "WHOLE_PIXELS", 10_000)


@pytest.mark.usefixtures("small_limit")
def test_a_large_mosaic_is_measured_as_the_whole_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mosaic(tmp_path / "many.fits")
    whole = read.measure_frame(path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the whole was decoded")

    monkeypatch.setattr(read, "measure_frame", never)
    assert measure_frame(path) == whole
    assert [one.amplifier for one in whole.statistics][:3] == ["N12-A", "N12-B", "N11-A"]


@pytest.mark.usefixtures("small_limit")
def test_measuring_a_large_mosaic_takes_the_memory_of_a_detector(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "many.fits", n=200)
    measure_frame(path)  # headers are kept
    whole = 200 * SHAPE[0] * SHAPE[1] * 2

    def peak(measure: object) -> int:
        tracemalloc.start()
        try:
            measure(path)  # type: ignore[operator]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # The strips that the identity is reckoned of have a fixed size, which is more than this frame.
    assert peak(read.measure_frame) > 1.5 * whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccdcore.mosaics.measure._STRIP_PIXELS", 2**16)
        assert peak(measure_frame) < 1.5 * whole


@pytest.mark.usefixtures("small_limit")
def test_parts_have_the_pixels_and_amplifiers_of_their_detector(tmp_path: Path) -> None:
    frame = series_frame(write_mosaic(tmp_path / "many.fits", n=3))
    whole = image_of(frame)
    detectors = detectors_of([frame])
    assert [one.name for one in detectors] == ["N3", "N2", "N1"]
    for detector in detectors:
        part = of_detector(frame, detector)
        assert np.array_equal(image_of(part), whole[:, detector.columns])
        assert [str(one.data) for one in part.amplifiers] == ["[9:40,1:96]", "[41:72,1:96]"]
        assert [one.amplifier for one in part.statistics] == [f"{detector.name}-A", f"{detector.name}-B"]
        assert detectors_of([part]) == ()


def test_small_and_compressed_frames_are_worked_on_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, compressed = (write_mosaic(tmp_path / "many.fits", n=3, ending=ending) for ending in ("", ".gz"))
    assert detectors_of([series_frame(plain)]) == ()
    monkeypatch.setattr(large, "WHOLE_PIXELS", 1000)
    assert len(detectors_of([series_frame(plain)])) == 3
    assert detectors_of([series_frame(compressed)]) == ()
    assert measure_frame(compressed).sha256 == measure_frame(plain).sha256


@pytest.mark.usefixtures("small_limit")
def test_a_dead_detector_costs_no_other(tmp_path: Path) -> None:
    frames = [series_frame(write_mosaic(tmp_path / f"{k}.fits", n=3, dead="N2", seed=k)) for k in (1, 2, 3)]
    lacks: dict[str, str] = {}
    found = by_detector(measure_noise, frames, lacks=lacks)
    assert [one.amplifier for one in found] == ["N3-A", "N3-B", "N1-A", "N1-B"]
    assert sorted(lacks) == ["N2-A", "N2-B"]
    assert found == measure_noise(frames)
    with pytest.raises(InsufficientDataError):
        by_detector(measure_noise, frames[:1])


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.uint32])
def test_strips_have_the_identity_of_the_whole(kind: type[np.integer]) -> None:
    limits = np.iinfo(kind)
    whole = np.random.default_rng(3).integers(limits.min, limits.max, (10, 7), dtype=kind)
    for pixels in (whole, whole // kind(3)):
        ends = int(pixels.min()), int(pixels.max())
        strips = [pixels[:4], pixels[4:]]
        assert strips_sha256(pixels.shape, pixels.dtype, ends, strips) == pixel_sha256(pixels)
        assert stored_sha256(pixels.shape, pixels.dtype, strips) == read.former_sha256(pixels)


@pytest.mark.usefixtures("small_limit")
def test_headers_are_read_once_whatever_the_number_of_detectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [series_frame(write_mosaic(tmp_path / f"many{seed}.fits", seed=seed)) for seed in (1, 2)]
    walked: list[Path] = []

    def walking(path: Path, *more: Any) -> Mosaic:
        walked.append(path)
        return find_mosaic(path, *more)

    for module in (read, stored_pixels):
        monkeypatch.setattr(module, "find_mosaic", walking)
    assert len(by_detector(measure_gain, frames, [])) == 24
    # Once for where the pixels are, once for what the header says.
    assert max(map(walked.count, walked)) <= 2


@pytest.mark.usefixtures("small_limit")
def test_detectors_of_which_nothing_can_be_measured_are_not_held(tmp_path: Path) -> None:
    frames = [series_frame(write_mosaic(tmp_path / "many.fits"))]
    taken: list[weakref.ref[np.ndarray]] = []

    def measure(_: object) -> list[str]:
        pixels = np.zeros(SHAPE)
        assert all(one() is None for one in taken)
        taken.append(weakref.ref(pixels))
        raise InsufficientDataError("no light")

    with pytest.raises(InsufficientDataError, match="no light"):
        by_detector(measure, frames)
    assert len(taken) == 12
