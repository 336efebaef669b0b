"""Cards that part the frames of a set."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccdcore.cards.values import RepeatedCard
from ccdcore.frames.frame import SeriesFrame
from ccdcore.frames.statistics import frame_statistics
from ccdcore.io.read import read_frame
from ccdcore.masters.varying import parted_light, varying_cards
from ccdcore.reduction.master import Master
from tests.support.simulate import standard_cards, write_frame

SHAPE = (192, 192)
ROWS, COLUMNS = (np.linspace(-1, 1, n) for n in SHAPE)
RADIUS2 = ROWS[:, None] ** 2 + COLUMNS**2
BIAS = Master(
    "bias", *(np.full(SHAPE, value, np.float32) for value in (1000, 1)), *np.zeros((2, *SHAPE), int), "", (5, 5), ()
)


def headers(**columns):
    n = len(next(iter(columns.values())))
    names = {name.replace("__", "-"): values for name, values in columns.items()}
    return [{name: values[i] for name, values in names.items() if values[i] is not None} for i in range(n)]


def test_a_card_of_two_values_parts_the_frames():
    found = varying_cards(headers(CGMODE=["HCG", "HCG ", "LCG", "LCG"], XBINNING=[1, 1, 1, 1]))
    assert found == {"CGMODE": ("HCG", "HCG", "LCG", "LCG")}


def test_one_card_out_of_line_is_enough_and_a_missing_one_is_a_value():
    found = varying_cards(headers(DETSER=["A", "A", "A", None], SPEED=["1.0", 1, 2.0, "2"]))
    assert found == {"DETSER": ("A", "A", "A", None), "SPEED": (1.0, 1.0, 2.0, 2.0)}


def test_what_counts_or_measures_or_tells_the_time_parts_nothing():
    frames = headers(
        FRAMENO=[1, 2, 3, 4],
        CCD__TEMP=[-20.0, -20.1, -19.9, -20.2],
        DATE__OBS=["2024-03-10", "2024-03-10", "2024-03-11", "2024-03-11"],
        MJD__OBS=[1, 1, 2, 2],
        TIME__OBS=["a", "a", "b", "b"],
        DATASUM=["a", "a", "b", "b"],
        IMAGETYP=["bias", "bias", "zero", "zero"],
        NOTE=["x" * 80, "x" * 80, "y" * 80, "y" * 80],
    )
    assert varying_cards(frames) == {}


def test_a_card_that_stands_twice_and_frames_without_cards_do_no_harm():
    assert varying_cards([]) == {}
    assert varying_cards([{"A": RepeatedCard((1, 2))}, {"A": 1}, {"A": 1}]) == {"A": ("1 and 2", 1.0, 1.0)}
    assert varying_cards([{"A": 1}, {"A": 2}]) == {}, "two frames part into nothing but themselves"


def flats(folder: Path, lights: list[Any], seconds: float = 5.0, **cards: list[Any]) -> list[SeriesFrame]:
    """Write a flat of each light, relative to 20 000 electrons, and return them as a series has them."""
    rng = np.random.default_rng(8)
    found: list[SeriesFrame] = []
    folder = Path(tempfile.mkdtemp(dir=folder))
    for n, light in enumerate(lights):
        pixels = 1000 + rng.poisson(20_000 * np.broadcast_to(light, SHAPE)) / 1.5
        when = datetime(2022, 9, 19, 20, tzinfo=UTC) + timedelta(minutes=n)
        of_frame = {keyword.replace("__", "-"): values[n] for keyword, values in cards.items()}
        path = folder / f"flat{n}.fits"
        write_frame(path, pixels.astype(np.uint16), {**standard_cards("flat", when, seconds), **of_frame})
        frame = read_frame(path)
        statistics = frame_statistics(frame.data, frame.amplifiers)
        found.append(SeriesFrame(frame.sha256, path, frame.shape, frame.info, frame.amplifiers, statistics))
    return found


V, R = 1 - 0.2 * RADIUS2 / 2, 1 - 0.25 * RADIUS2 / 2
"""Two filters: their vignetting differs by 5 % from the middle to the corners."""


@pytest.mark.parametrize(
    ("order", "cards"),
    [
        ("VVVVRRRR", {"FILTPOS": [2] * 4 + [3] * 4, "FOCUS": [100] * 4 + [140] * 4}),
        ("VRVRVR", {"WHEEL2": ["a", "b"] * 3}),
        ("RRVVRR", {"FLTNAME": ["x", "x", "y", "y", "x", "x"]}),
        ("VVRRVV", {"FILTNUM": [1, 1, 2, 2, 3, 3]}),
    ],
)
def test_two_filters_in_a_card_that_nobody_knows_are_told(tmp_path: Path, order: str, cards: dict[str, Any]) -> None:
    said = parted_light(flats(tmp_path, [{"V": V, "R": R}[one] for one in order], **cards), BIAS)
    card = next(iter(cards))
    assert said is not None
    assert said.startswith("the light has another shape, by 1.")
    assert f'header = {{ filter = "{card}" }}' in said


def test_what_varies_in_honest_cameras_is_no_filter(tmp_path: Path) -> None:
    """A twilight whose slope turns round, with all that drivers write; a shutter; a lens that dries."""
    n = 8
    sky = [V * (1 + 0.004 * k * COLUMNS) for k in (1, 2, 3, 4, -4, -3, -2, -1)]
    cards: dict[str, Any] = {
        "FOCUSPOS": [5000] * 4 + [5010] * 4,
        "PIERSIDE": ["EAST"] * 4 + ["WEST"] * 4,
        "ROTATOR": [0] * 2 + [180] * 6,
        "OBJECT": ["blank 1"] * 4 + ["blank 2"] * 4,
        "PEDESTAL": [0, 100] * 4,
        "SEEING": [None] * 2 + [1] * 6,
    }
    assert parted_light(flats(tmp_path, sky, **cards), BIAS) is None
    drying = [V * (1 - 0.05 * (1 - k / n) * (RADIUS2 < 0.2)) for k in range(n)]
    assert parted_light(flats(tmp_path, drying, **cards), BIAS) is None
    lights = [V] * 4 + [R] * 4
    assert parted_light(flats(tmp_path, lights, OUTTEMP=[3] * 4 + [4] * 4, FRAMENO=list(range(n))), BIAS) is None
    faint = [0.002 * light for light in (V, V, R, R)]
    assert parted_light(flats(tmp_path, faint, FILTPOS=[1, 1, 2, 2]), BIAS) is None
    shutter = flats(tmp_path, lights, seconds=0.5, LAMPI=[1] * 4 + [2] * 4)
    for seconds, some in ((0.5, shutter[:4]), (3.0, shutter[4:])):
        for one in some:
            object.__setattr__(one.info, "exposure_time_s", seconds)
    assert parted_light(shutter, BIAS) is None
