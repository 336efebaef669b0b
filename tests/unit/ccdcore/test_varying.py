"""Cards that part the frames of a set."""

from ccdcore.cards import Several
from ccdcore.varying import varying_cards


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
    assert varying_cards([{"A": Several((1, 2))}, {"A": 1}, {"A": 1}]) == {"A": ("1 and 2", 1.0, 1.0)}
    assert varying_cards([{"A": 1}, {"A": 2}]) == {}, "two frames part into nothing but themselves"
