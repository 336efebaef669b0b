"""The page of a report: what it shows, how large it is."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ccdcore.figures.report_page import Images, Spectrum, noise_spectrum, report_page
from ccdcore.figures.style import png
from ccdcore.photon_transfer.measure import PhotonTransfer, PhotonTransferPoint
from ccdcore.reduction.master import MaskBit

RNG = np.random.default_rng(1)
TABLE = [["amplifier", "gain (e⁻/ADU)"], ["L", "1.5 ± 0.01"], ["R", "1.6 ± 0.01"]]
DENSITY = tuple((32 * RNG.gamma(50, 1 / 50, 256)).tolist())
SPECTRA = [Spectrum("L", DENSITY, [(0.125, 0.8), (0.4, 0.2)]), Spectrum("R", DENSITY, [])]


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_visible()}


def transfer() -> PhotonTransfer:
    curve = tuple(PhotonTransferPoint(mean, 9 + mean / 2, 1.0, 100) for mean in (20.0, 200.0, 2000.0))
    numbers: dict[str, Any] = dict.fromkeys(("n_bias", "n_flat", "n_flat_pairs", "n_pixels"), 2)
    return PhotonTransfer("L", "binned", 2.0, 0.01, 3.0, 0.1, 6.0, 0.1, 300.0, None, **numbers, curve=curve)


@pytest.mark.parametrize("shape", [(256, 300), (100, 2048), (600, 200)])
def test_everything_is_on_the_page(shape: tuple[int, int]) -> None:
    noise = RNG.normal(300, 3, shape)
    mask = np.zeros(shape, np.uint8)
    mask[3, 4:9] = MaskBit.HOT
    mask[:, 50] = MaskBit.DEAD
    images = Images("master flat V", noise, noise / 300, noise - 300, "")
    page = report_page(
        title="cam · bin1x1", table=TABLE, images=images, transfers=[transfer()], spectra=SPECTRA, mask=mask
    )
    said = texts(page)
    assert {"cam · bin1x1", "1.5 ± 0.01", "photon transfer", "5 hot", f"{shape[0]} dead", "8 px\n0.8 ADU"} <= said
    assert any(text.startswith("master flat V (relative)") for text in said)
    data = png(page)
    assert len(data) < 200_000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (830, 1100)


def test_what_there_is_not_is_said() -> None:
    page = report_page(title="cam", table=TABLE[:1], images=None, transfers=[], spectra=[], mask=None)
    assert {"no master", "no gain", "no pair of biases of this set", "no mask: it needs a master bias"} <= texts(page)
    assert len(png(page)) > 1000


def test_the_spectrum_marks_its_lines() -> None:
    figure = noise_spectrum(SPECTRA, title="noise")
    assert {"noise", "amplifier L", "8 px\n0.8 ADU", "2.5 px\n0.2 ADU"} <= texts(figure)
    assert len(png(figure)) < 60_000


@pytest.mark.parametrize("n_amplifiers", [1, 13, 14, 128])
def test_the_page_holds_any_number_of_amplifiers(n_amplifiers: int) -> None:
    names = [f"a{number}" for number in range(n_amplifiers)]
    table = [["amplifier", "gain (e⁻/ADU)"], *([name, "1.5 ± 0.01"] for name in names)]
    noise = RNG.normal(300, 3, (64, 80))
    page = report_page(
        title="cam",
        table=table,
        images=Images("master flat V", noise, noise / 300, noise - 300, ""),
        transfers=[replace(transfer(), amplifier=name) for name in names],
        spectra=[Spectrum(name, DENSITY, []) for name in names],
        mask=None,
    )
    said = texts(page)
    assert {"a0", "amplifier a0"} <= said
    assert all(axis.get_position().height > 0.05 for axis in page.axes)
    assert ("and 120 more amplifiers" in said) == (n_amplifiers == 128)
    assert any(text.startswith("… and ") for text in said) == (n_amplifiers > 8)
    with Image.open(io.BytesIO(png(page))) as picture:
        assert picture.size == (830, 1100)
