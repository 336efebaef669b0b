"""Electron multiplication in headers of several makers, and what it does to a gain."""

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.cards.electron_multiplication import excess_noise, multiplication
from ccdcore.photon_transfer.measure import measure_gain


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"EMREALGN": 100, "OUTPTAMP": "Electron Multiplying", "GAIN": 100}, "EMREALGN = 100"),
        ({"OUTPTAMP": "Electron Multiplying", "GAIN": 300}, "the output is 'Electron Multiplying'"),
        ({"OUTPTAMP": "Electron Multiplying", "EMREALGN": 0}, None),
        ({"OUTPTAMP": "Conventional", "EMREALGN": 100, "GAIN": 100}, None),
        ({"OUTPTAMP": "Electron Multiplying", "GAIN": 0}, None),
        ({"EMGAIN": "50"}, "EMGAIN = 50"),
        ({"EMGAIN": 1}, None),
        ({"EM-GAIN": 20.5}, "EM-GAIN = 20.5"),
        ({"EM GAIN": 255}, "EM GAIN = 255"),
        ({"EM_GAIN": 4}, "EM_GAIN = 4"),
        ({"GAINEM": 300}, "GAINEM = 300"),
        ({"MULTGAIN": 1000}, "MULTGAIN = 1000"),
        ({"ESO DET EMGAIN": 30.0}, "ESO DET EMGAIN = 30"),
        ({"ESO DET EM GAIN": 30.0}, "ESO DET EM GAIN = 30"),
        ({"ADCPORT": "EM", "READPORT": "Multiplication Gain"}, "the output is 'Multiplication Gain'"),
        ({"READPORT": "Low Noise", "EMGAIN": 100}, None),
        ({"GAIN": 120, "OFFSET": 10, "EGAIN": 0.25, "SYSGAIN": 2.0, "TEMPGAIN": 3.0, "DEMGAINX": 4}, None),
        ({}, None),
    ],
)
def test_cards_that_say_whether_electrons_were_multiplied(cards, said):
    assert multiplication(cards) == said
    assert (excess_noise(cards) is None) == (said is None)


def test_a_gain_with_electron_multiplication_is_doubted(tmp_path):
    rng = np.random.default_rng(1)

    def frame(name, photons, **cards):
        n = rng.poisson(np.full((100, 120), float(photons)))
        electrons = np.where(n > 0, rng.gamma(np.maximum(n, 1e-9), 100.0), 0.0)
        hdu = fits.PrimaryHDU(np.rint(300 + electrons / 5 + rng.normal(0, 12, n.shape)).astype(np.uint16))
        hdu.header.update(cards)
        hdu.writeto(tmp_path / name)
        return tmp_path / name

    biases = [frame(f"b{i}.fits", 0, EMREALGN=100) for i in range(3)]
    (result,) = measure_gain(biases, [frame(f"f{i}.fits", 400, EMREALGN=100) for i in range(4)])
    assert result.gain_e_per_adu == pytest.approx(0.025, rel=0.03)  # half of the true one
    assert any("EMREALGN = 100" in doubt and "excess noise" in doubt for doubt in result.doubts)
    (plain,) = measure_gain(biases, [frame(f"p{i}.fits", 400) for i in range(2)])
    assert plain.doubts == ()
