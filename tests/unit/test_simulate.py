"""The simulator's truth is what its files hold."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.cards.sections import Amplifier, Section
from tests.support.simulate import (
    Camera,
    area_changes,
    bias_pixels,
    collect,
    cosmic_rays,
    dark_pixels,
    expose,
    flux_ramp,
    notebook_series,
    simple_night,
    spectrum_light,
    uniform_light,
)

TWO_AMPLIFIERS = Camera(
    gain_e_per_adu=(1.0, 2.0),
    read_noise_e=(4.0, 6.0),
    bias_adu=(500.0, 800.0),
    shape=(200, 220),
    amplifiers=(
        Amplifier("A", Section(1, 100, 1, 200), Section(101, 110, 1, 200)),
        Amplifier("B", Section(121, 220, 1, 200), Section(111, 120, 1, 200)),
    ),
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory):
    return notebook_series(tmp_path_factory.mktemp("notebook"), seed=1, dimmed=6)


def difference_variance(first: np.ndarray, second: np.ndarray) -> float:
    return float((first.astype(float) - second).var() / 2)


def test_notebook_series_is_written_as_andor_solis_does(notebook) -> None:
    assert (len(notebook.biases), len(notebook.flats)) == (32, 11)
    header = fits.getheader(notebook.flats[0])
    assert notebook.flats[0].name == "Flat_ 01.fits"
    assert (header["NAXIS"], header["BITPIX"], header["BZERO"], header["HEAD"]) == (3, 16, 32768, "DU970P_BV")
    assert "IMAGETYP" not in header
    dates = [fits.getheader(path)["DATE"][:10] for path in notebook.biases]
    assert [dates.count(night.isoformat()) for night in notebook.nights] == [10, 11, 11]


def test_notebook_flats_follow_the_lamp(notebook) -> None:
    bias = fits.getdata(notebook.biases[0]).mean()
    signal = np.array([fits.getdata(path).mean() - bias for path in notebook.flats])
    assert signal / signal[2] == pytest.approx(np.array(notebook.flat_flux), rel=0.006)
    assert notebook.misfits == tuple(notebook.flats[index] for index in (0, 1, 6))


def test_much_of_a_spectrum_is_dark() -> None:
    light = spectrum_light((100, 2048), 15_000.0)
    assert light.max() == pytest.approx(15_000.0)
    assert np.median(light) < 100


def test_no_two_frames_have_the_same_pixels(notebook, tmp_path: Path) -> None:
    nights = [simple_night(tmp_path / str(seed), seed=seed, n_dark=2) for seed in (0, 1)]
    paths = [path for series in (notebook, *nights, flux_ramp(tmp_path / "ramp")) for path in series.paths]
    assert len({hashlib.sha256(fits.getdata(path).tobytes()).digest() for path in paths}) == len(paths)


def test_the_same_seed_gives_the_same_frames(tmp_path: Path) -> None:
    first, second = (simple_night(tmp_path / name, seed=5, n_bias=1, n_flat=1) for name in "ab")
    for one, other in zip(first.paths, second.paths, strict=True):
        assert np.array_equal(fits.getdata(one), fits.getdata(other))


@pytest.mark.parametrize("amplifier", [0, 1])
def test_noise_and_gain_are_those_of_the_camera(amplifier: int) -> None:
    rng = np.random.default_rng(3)
    camera, section = TWO_AMPLIFIERS, TWO_AMPLIFIERS.amplifiers[amplifier].data.slices
    gain, noise = camera.gain_e_per_adu[amplifier], camera.read_noise_e[amplifier] / camera.gain_e_per_adu[amplifier]
    biases = [bias_pixels(camera, rng)[section] for _ in range(2)]
    flats = [expose(camera, rng, uniform_light(camera.shape, 20_000.0))[section] for _ in range(2)]
    bias_variance = difference_variance(*biases)
    relative = np.sqrt(2 / biases[0].size)
    assert bias_variance == pytest.approx(noise**2 + 1 / 12, rel=4 * relative)
    signal = sum(flat.mean() - bias.mean() for flat, bias in zip(flats, biases, strict=True)) / 2
    assert signal / (difference_variance(*flats) - bias_variance) == pytest.approx(gain, rel=5 * relative)
    assert biases[0].mean() == pytest.approx(camera.bias_adu[amplifier], abs=0.5)


def test_overscan_sees_no_light() -> None:
    rng = np.random.default_rng(4)
    flat = expose(TWO_AMPLIFIERS, rng, np.full(TWO_AMPLIFIERS.shape, 5_000.0), cosmic_ray_fraction=0.01)
    for amplifier, level in zip(TWO_AMPLIFIERS.amplifiers, TWO_AMPLIFIERS.bias_adu, strict=True):
        assert flat[amplifier.overscan.slices].mean() == pytest.approx(level, abs=1.0)
        assert flat[amplifier.data.slices].min() > level + 1_000


def test_pixels_stop_at_saturation() -> None:
    camera = Camera(shape=(20, 30), saturation_adu=44_000)
    assert np.all(expose(camera, np.random.default_rng(0), np.full(camera.shape, 1e6)) == 44_000)


def test_cosmic_rays_hit_the_fraction_asked_for() -> None:
    image = cosmic_rays((500, 500), 0.01, np.random.default_rng(6))
    assert np.count_nonzero(image) / image.size == pytest.approx(0.01, rel=0.1)
    assert image[image > 0].min() >= 50
    assert image.max() <= 5000


def test_a_dark_has_its_current_and_hot_pixels() -> None:
    camera = Camera(shape=(200, 200))
    signal = dark_pixels(camera, np.random.default_rng(7), 100.0, dark_current_e_per_s=1.0) - 300.0
    assert np.median(signal) * camera.gain_e_per_adu == pytest.approx(100.0, rel=0.02)
    assert np.mean(signal > 5_000) == pytest.approx(0.001, rel=0.6)


def test_the_ramp_comes_in_pairs_at_the_levels_asked_for(tmp_path: Path) -> None:
    ramp = flux_ramp(tmp_path, levels_adu=(1_000.0, 5_000.0, 30_000.0))
    signal = [fits.getdata(path).mean() - 1_000.0 for path in ramp.flats]
    assert signal == pytest.approx([1_000, 1_000, 5_000, 5_000, 30_000, 30_000], rel=0.01)
    assert {fits.getheader(path)["EXPTIME"] for path in ramp.flats} == {5.0}


def test_charge_that_pushes_charge_makes_the_covariances_of_astier() -> None:
    rng, electrons, a00 = np.random.default_rng(3), 60_000.0, -2e-6
    light = np.full((128, 128), electrons)
    changes = -a00 * area_changes()
    assert changes.sum() == pytest.approx(0, abs=1e-18)
    assert changes[2, 2] == pytest.approx(a00)
    measured = np.zeros((2, 2))
    for _ in range(30):
        first, second = (collect(light, a00, rng) for _ in range(2))
        assert first.mean() == pytest.approx(electrons, rel=2e-4)
        noise = (first - second) / 2**0.5
        for lag in np.ndindex(2, 2):
            rows, columns = lag
            measured[lag] += (noise[rows:, columns:] * noise[: 128 - rows, : 128 - columns]).mean() / 30
    # Astier et al. 2019, eq. 20 to the third order in μ for the variance, and to the second for neighbours.
    uncertainty = (2 / (30 * 128**2)) ** 0.5
    variance = 1 + a00 * electrons + 2 / 3 * (changes**2).sum() * electrons**2
    assert measured[0, 0] / electrons == pytest.approx(variance, abs=4 * uncertainty)
    for lag, change in (((0, 1), changes[2, 3]), ((1, 0), changes[3, 2]), ((1, 1), changes[3, 3])):
        assert measured[lag] / electrons == pytest.approx(change * electrons, abs=4 * uncertainty + 0.004)
