"""Pixels of several gains in one amplifier: read-outs that no card names, colours that a camera scaled."""

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, expose

SHAPE = (160, 192)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
RIGHT, UPPER, EVEN, ODD_ROW = SHAPE[1] // 2 <= X, SHAPE[0] // 2 <= Y, X % 2 == 1, Y % 2 == 1
SPLITS = {
    "two halves": (np.where(RIGHT, 1.8, 1.4), "right"),
    "upper and lower": (np.where(UPPER, 1.3, 1.5), "last rows"),
    "four quarters, alike across": (np.where(RIGHT ^ UPPER, 1.2, 1.0), "left, last rows"),
    "even and odd columns": (np.where(EVEN, 1.0, 1.15), "even columns"),
    "even and odd rows": (np.where(ODD_ROW, 1.0, 1.3), "even rows"),
    "four stripes of columns": (np.array([1.0, 1.2, 1.2, 1.0])[X // 48], "4 bands of columns"),
    "eight stripes of columns": (
        np.array([1.4, 1.5, 1.6, 1.45, 1.3, 1.55, 1.5, 1.35])[X // 24],
        "number 5 of 8 bands of columns",
    ),
    "sixteen stripes of rows": (np.where(Y // 10 % 2, 1.0, 1.25), "of 16 bands of rows"),
    "two by four": (np.array([[1.0, 1.2, 1.0, 1.2], [1.2, 1.0, 1.2, 1.0]])[Y // 80, X // 48], "2 by 4 blocks"),
    "four outputs in turn": (np.array([1.0, 1.0, 1.3, 1.3])[X % 4], "columns 3, 7, …"),
    "eight outputs in turn": (np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.3])[X % 8], "columns 8, 16, …"),
    "one colour scaled": (np.where(EVEN & ODD_ROW, 1.0, 1.25), "even columns, even rows"),
}


def measured(gain: np.ndarray | float, light_e: np.ndarray | float, *, a00: float = 0.0, n: int = 6) -> PhotonTransfer:
    rng = np.random.default_rng(3)
    camera = Camera(1.0, 5.0, 0.0, shape=SHAPE, pattern_adu=0.0, a00=a00, saturation_adu=10**7)

    def frame(electrons: np.ndarray | float) -> np.ndarray:
        light = np.broadcast_to(np.asarray(electrons, float), SHAPE)
        offset = 10_000.0  # numbers that are cut off nowhere
        seen = expose(camera, rng, light, bias_offset_adu=offset).astype(float) - offset
        return np.rint(500 + seen / gain).astype(np.uint16)

    (result,) = measure_gain([frame(0.0) for _ in range(n)], [frame(light_e) for _ in range(n)])
    return result


@pytest.mark.parametrize("split", SPLITS)
def test_parts_of_other_gains_are_told(split: str) -> None:
    gain, place = SPLITS[split]
    result = measured(gain, 20_000.0)
    (doubt,) = (one for one in result.doubts if "parts of the image have other gains" in one)
    assert place in doubt
    assert doubt in result.flat_doubts
    assert not any("another offset" in one for one in result.doubts), "one reason is enough"


@pytest.mark.parametrize(
    ("light", "a00"),
    [
        (20_000.0, 0.0),
        (20_000.0 * np.where(RIGHT, 1.0, 0.2), 0.0),
        (30_000.0 * (1 - 0.4 * ((X - 96) ** 2 + (Y - 80) ** 2) / 96**2), -2e-6),
        (40_000.0 * np.where(EVEN & ODD_ROW, 1.0, np.where(EVEN ^ ODD_ROW, 0.8, 0.35)), -2e-6),
        (30_000.0 * (Y > 60) * (X > 20), 0.0),
        (30_000.0 * np.exp(-(((Y % 20) - 10) ** 2) / 18) * (1 - 0.5 * X / 192), 0.0),
        (25_000.0 * (1 + 0.6 * np.sin(X / 7.0)), -2e-6),
        (30_000.0 * np.exp(-((X - 96) ** 2 + (Y - 80) ** 2) / 3000.0), -2e-6),
    ],
    ids=[
        "even light",
        "a half in the shade",
        "vignetted",
        "a mosaic of colours",
        "corners without light",
        "traces",
        "fringes",
        "a spot",
    ],
)
def test_one_gain_is_none_of_several_whatever_the_light(light: np.ndarray | float, a00: float) -> None:
    assert measured(1.5, light, a00=a00).doubts == ()


def biases_of(read_noise: np.ndarray | float, *, row_noise: float = 0.0, hot: bool = False) -> PhotonTransfer:
    rng = np.random.default_rng(5)
    dark = np.where((X > 30) & (X < 34) & hot, 400.0, 0.0)

    def frame() -> np.ndarray:
        rows = row_noise * rng.standard_normal((SHAPE[0], 1))
        return np.rint(500 + read_noise * rng.standard_normal(SHAPE) + rows + rng.poisson(dark)).astype(np.uint16)

    (result,) = measure_gain([frame() for _ in range(6)], [])
    return result


@pytest.mark.parametrize(
    ("noise", "place"),
    [
        (np.where(RIGHT, 5.5, 4.0), "right"),
        (np.array([4.0, 5.0, 4.5, 4.0, 6.0, 4.0, 5.0, 4.5])[X // 24], "number 5 of 8 bands"),
        (np.where(EVEN, 4.0, 5.5), "odd columns"),
        (np.array([3.0, 4.0, 3.0, 3.0])[X % 4], "columns 2, 6, …"),
    ],
    ids=["halves", "stripes", "columns in turn", "four in turn"],
)
def test_read_noises_of_several_amplifiers_are_told(noise: np.ndarray, place: str) -> None:
    result = biases_of(noise)
    (doubt,) = (one for one in result.bias_doubts if "parts of the biases have other noise" in one)
    assert place in doubt


def test_a_little_more_read_noise_in_part_of_each_row_is_noted() -> None:
    result = biases_of(np.where(X >= 156, 4.6, 4.0))
    assert result.bias_doubts == ()
    assert any("parts of the biases have other noise" in note for note in result.notes)


@pytest.mark.parametrize("case", [{}, {"row_noise": 4.0}, {"hot": True}], ids=["white", "noise of rows", "hot columns"])
def test_one_read_noise_is_none_of_several(case: dict[str, float]) -> None:
    result = biases_of(4.0, **case)
    assert (result.bias_doubts, [note for note in result.notes if "parts" in note]) == ((), [])


def taken(
    gain: np.ndarray | float, lights: list[np.ndarray], glow: np.ndarray | float = 0.0, offset_adu: float = 0.0
) -> PhotonTransfer:
    """Measure flats of these lights and biases, both with a glow, in electrons."""
    rng = np.random.default_rng(11)

    def frame(electrons: np.ndarray | float, offset: float = 0.0) -> np.ndarray:
        charge = rng.poisson(np.broadcast_to(electrons + glow, SHAPE)) + rng.normal(0, 5, SHAPE)
        return np.rint(np.clip(1000 + offset + charge / gain, 0, 65_535)).astype(np.uint16)

    (result,) = measure_gain([frame(0.0) for _ in range(8)], [frame(light, offset_adu) for light in lights])
    return result


def stars(number: int, brightest: float) -> np.ndarray:
    rng = np.random.default_rng(number)
    image = np.zeros(SHAPE)
    for row, column, flux in zip(rng.uniform(0, 160, 25), rng.uniform(0, 192, 25), rng.pareto(1.2, 25), strict=True):
        image += min(brightest, 300 * flux) * np.exp(-((X - column) ** 2 + (Y - row) ** 2) / 5)
    return image


EVEN_LIGHT = np.full(SHAPE, 15_000.0)
COLUMN_GAINS = 1.5 * (1 + 0.01 * np.random.default_rng(6).standard_normal(SHAPE[1]))
GOOD: dict[str, tuple[np.ndarray | float, list[np.ndarray], np.ndarray | float]] = {
    "a glowing column": (1.5, [EVEN_LIGHT] * 8, 30_000.0 * (X == 77)),
    "six glowing columns": (1.5, [EVEN_LIGHT] * 8, 30_000.0 * ((X >= 77) & (X < 83))),
    "two of them and a row": (1.5, [EVEN_LIGHT] * 8, 30_000.0 * ((X == 77) | (X == 130) | (Y == 50))),
    "a column that glows below a row": (1.5, [EVEN_LIGHT] * 8, 20_000.0 * ((X == 77) & (Y > 60))),
    "a block of dead columns": (1.5, [EVEN_LIGHT * ((X < 40) | (X > 58))] * 8, 0.0),
    "stars in twilight": (1.5, [EVEN_LIGHT + stars(k, 9000.0) for k in range(8)], 0.0),
    "a lamp whose gradient drifts": (1.5, [EVEN_LIGHT * (1 + (0.1 + 0.01 * k) * X / 192) for k in range(8)], 0.0),
    "columns of 1 % other gain": (COLUMN_GAINS[None, :], [EVEN_LIGHT] * 8, 0.0),
    "fringes and vignetting": (
        1.5,
        [EVEN_LIGHT * (1 + 0.1 * np.sin(X / 9.0 + Y / 30)) * (1 - 0.5 * ((X - 96) ** 2 + (Y - 80) ** 2) / 125**2)] * 8,
        0.0,
    ),
    "halves of 2 % other gain, less than is sure": (np.where(RIGHT, 1.50, 1.53), [EVEN_LIGHT] * 8, 0.0),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_good_flats_have_is_no_other_gain(case: str) -> None:
    result = taken(*GOOD[case])
    told = [one for one in (*result.doubts, *result.notes, *result.bias_doubts) if "parts of" in one or "offset" in one]
    assert told == []
    assert result.gain_e_per_adu == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("offset_adu", [-900.0, 900.0])
@pytest.mark.parametrize(
    "light", [np.linspace(0.4, 1, 192)[None, :], 1 - 0.7 * ((X - 96) ** 2 + (Y - 80) ** 2) / 125**2]
)
def test_another_offset_under_smooth_light_is_none_of_several_gains(light: np.ndarray, offset_adu: float) -> None:
    result = taken(1.5, [EVEN_LIGHT / 3 * light] * 8, offset_adu=offset_adu)
    assert any("another offset" in one for one in result.doubts)
    assert not any("parts of" in one for one in result.doubts)


def test_scaled_colours_are_no_other_offset() -> None:
    red, blue = ~EVEN & ~ODD_ROW, EVEN & ODD_ROW
    scale = np.where(red, 1.25, np.where(blue, 1.12, 1.0))
    colours = 18_000.0 * np.where(red, 0.5, np.where(blue, 0.6, 1.0))
    result = taken(2.4 / scale, [colours * (1 - 0.2 * X / 192)] * 8)
    (doubt,) = (one for one in result.doubts if "parts of the image have other gains" in one)
    assert "colours that the camera scaled" in doubt
    assert "odd columns, odd rows" in doubt
    assert not any("another offset" in one for one in result.doubts)


def test_named_amplifiers_are_measured_each_by_itself() -> None:
    rng = np.random.default_rng(4)
    halves = (Amplifier("L", Section(1, 96, 1, 160)), Amplifier("R", Section(97, 192, 1, 160)))
    camera = Camera((1.4, 1.8), 5.0, 500.0, shape=SHAPE, amplifiers=halves)
    biases, flats = ([expose(camera, rng, np.full(SHAPE, light)) for _ in range(6)] for light in (0.0, 20_000.0))
    results = measure_gain(biases, flats, amplifiers=halves)
    assert [one.gain_e_per_adu for one in results] == pytest.approx([1.4, 1.8], rel=0.03)
    assert [one.doubts for one in results] == [(), ()]
