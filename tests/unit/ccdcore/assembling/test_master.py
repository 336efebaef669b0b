"""Masters of mosaics, put together from those of their detectors."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.assembling.bad_pixels import bad_pixels_together
from ccdcore.assembling.master import MosaicMaster
from ccdcore.cards.sections import Detector
from ccdcore.frames.frame import SeriesFrame
from ccdcore.io.write import appearing_in_pieces
from ccdcore.masters.bad_pixels import BadPixels
from ccdcore.masters.build import master_bias, master_flat
from ccdcore.masters.file import read_master
from ccdcore.mosaics import detectors as large
from ccdcore.mosaics.detectors import detectors_of, of_detector
from ccdcore.mosaics.measure import measure_frame
from ccdcore.reduction.master import MaskBit

GAINS = {"N2": 1.0, "N1": 2.0, "N3": 0.5}


def _frame(path: Path, rng: np.random.Generator, light: float) -> SeriesFrame:
    units = []
    for name, gain in GAINS.items():
        expected = light * np.linspace(0.8, 1.2, 60)[:, None] * np.ones(50)
        pixels = rng.poisson(expected) / gain + rng.normal(500, 3, expected.shape)
        units.append(fits.ImageHDU(pixels.round().astype(np.uint16), name=name))
    cards = {"OBSTYPE": "dome flat" if light else "zero", "INSTRUME": "three", "EXPTIME": float(light > 0)}
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards)), *units]).writeto(path)
    one = measure_frame(path)
    return SeriesFrame(one.sha256, path, one.shape, one.info, one.amplifiers, one.statistics)


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[SeriesFrame], list[SeriesFrame]]:
    """Return biases and flats of three detectors of other gains, which are taken for large."""
    monkeypatch.setattr(large, "WHOLE_PIXELS", 1000)
    rng = np.random.default_rng(5)
    biases = [_frame(tmp_path / f"bias{k}.fits", rng, 0) for k in range(4)]
    flats = [_frame(tmp_path / f"flat{k}.fits", rng, 10_000 + 300 * k) for k in range(4)]
    return biases, flats


def _write(path: Path, mosaic: MosaicMaster) -> None:
    with appearing_in_pieces(path, mosaic.pieces({"FILTER": "r"}, ())):
        pass


def test_a_master_bias_is_that_of_the_whole(tmp_path: Path, frames: tuple[list[SeriesFrame], ...]) -> None:
    biases, _ = frames
    whole = master_bias(biases)
    with MosaicMaster(tmp_path, detectors := detectors_of(biases), 60, is_flat=False) as mosaic:
        for one in detectors:
            mosaic.add(one, master_bias([of_detector(frame, one) for frame in biases]))
        _write(tmp_path / "master.fits", mosaic)
        statistics = mosaic.statistics()
    found = read_master(tmp_path / "master.fits")
    for name in ("value", "uncertainty", "mask", "n_used"):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name
    assert [one.sha256 for one in found.inputs] == [one.sha256 for one in biases]
    assert statistics["npix"] == whole.value.size
    assert statistics["median"] == pytest.approx(float(np.median(whole.value)))
    part = read_master(tmp_path / "master.fits", detector=detectors[1])
    assert np.array_equal(part.uncertainty, whole.uncertainty[:, 50:100])
    assert fits.getheader(tmp_path / "master.fits")["FILTER"] == "r"


def test_a_master_flat_keeps_what_detectors_answer_to_the_same_light(
    tmp_path: Path, frames: tuple[list[SeriesFrame], ...]
) -> None:
    biases, flats = frames
    whole = master_flat(flats, bias=master_bias(biases))
    with MosaicMaster(tmp_path, detectors := detectors_of(flats), 60, is_flat=True) as mosaic:
        for one in detectors:
            bias = master_bias([of_detector(frame, one) for frame in biases])
            mosaic.add(one, master_flat([of_detector(frame, one) for frame in flats], bias=bias))
        _write(tmp_path / "master.fits", mosaic)
        statistics = mosaic.statistics()
    found = read_master(tmp_path / "master.fits")
    assert found.value.mean() == pytest.approx(1, rel=1e-4)
    assert statistics["mean"] == pytest.approx(1, rel=1e-4)
    levels = [found.value[:, one.columns].mean() for one in detectors]
    assert np.divide(levels, levels[0]) == pytest.approx([1, 0.5, 2], rel=0.01)
    # The whole takes its level where most light is; pixel by pixel the ratio is one number.
    ratio = found.value / whole.value
    assert ratio.std() / ratio.mean() < 0.002


def test_a_detector_without_a_master_is_masked(tmp_path: Path, frames: tuple[list[SeriesFrame], ...]) -> None:
    biases, _ = frames
    with MosaicMaster(tmp_path, detectors := detectors_of(biases), 60, is_flat=False) as mosaic:
        mosaic.add(detectors[0], master_bias([of_detector(frame, detectors[0]) for frame in biases]))
        _write(tmp_path / "master.fits", mosaic)
    found = read_master(tmp_path / "master.fits")
    assert (found.mask[:, 50:] == MaskBit.NO_DATA).all()
    assert (found.n_used[:, 50:] == 0).all()
    assert (found.value[:, 50:] == 0).all()
    assert found.good[:, :50].all()


def test_masks_of_detectors_stand_side_by_side() -> None:
    parts = [
        (Detector(f"N{k}", 3 * k, 3), BadPixels(np.full((2, 3), k, np.uint8), {f"N{k}": {}}, {f"N{k}": k}, ()))
        for k in range(2)
    ]
    found = bad_pixels_together((2, 7), parts)
    assert found.mask.tolist() == [[0, 0, 0, 1, 1, 1, MaskBit.OUTSIDE]] * 2
    assert found.n_bad == {"N0": 0, "N1": 1}
