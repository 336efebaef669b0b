"""Cameras and modes that only numbers in the header tell apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.dialects import SERIAL_NUMBERS
from ccdcore.headers.comparable import ALIKE, SAME, Sign, partly_told
from ccdcore.headers.identify import identify


def info(**cards):
    return identify(cards, filename="x.fits", shape=(10, 10))


@pytest.mark.parametrize(
    ("cards", "serial"),
    [
        ({"CAMSERNO": "A-001"}, "CAMSERNO=A-001"),
        ({"CCDSERNO": 12345}, "CCDSERNO=12345"),
        ({"DETSER": "C 7/2", "INSTCONF": "Red"}, "DETSER=C-7-2, INSTCONF=Red"),
        ({"ESO DET CHIP1 ID": "CCD#40, new", "CTRLSN": 3}, "CTRLSN=3, ESO DET CHIP1 ID=CCD-40-new"),
        ({"SERIALNO": " "}, None),
        ({}, None),
    ],
)
def test_serial_numbers_are_read(cards, serial):
    assert info(**cards).serial == serial


@pytest.mark.parametrize(
    ("one", "other", "is_other"),
    [
        (Sign("DETSER=A"), Sign("DETSER=B"), True),
        (Sign("DETSER=A"), Sign("DETSER=A, CTRLSN=2"), False),
        (Sign("DETSER=A, CTRLSN=1"), Sign("DETSER=A, CTRLSN=2"), True),
        (Sign("DETSER=A"), Sign(None, 1.5), False),
        (Sign("CTRLSN=3, ESO DET CHIP1 ID=CCD-40"), Sign("ESO DET CHIP1 ID=CCD-41"), True),
        (Sign("CTRLSN=3, ESO DET CHIP1 ID=CCD-40"), Sign("ESO DET CHIP1 ID=CCD-40"), False),
        (Sign(None, 1.54, 3.45), Sign(None, 3.48, 5.88), True),
        (Sign(None, 1.48, 3.89), Sign(None, 1.40, 3.89), True),
        (Sign(None, 1.48), Sign(None, 1.4801), False),
        (Sign(None, 1.48, 3.4), Sign(None, None, 4.6), True),
    ],
)
def test_contradictions(one, other, is_other):
    assert one.contradicts(other, tolerance=SAME) is is_other
    assert other.contradicts(one, tolerance=SAME) is is_other


def test_numbers_put_right_are_no_other_mode():
    assert not Sign(None, 1.54).contradicts(Sign(None, 1.60), tolerance=ALIKE)
    assert Sign(None, 1.54).contradicts(Sign(None, 3.48), tolerance=ALIKE)


def test_names_are_short_and_say_which():
    assert Sign("DETSER=B-002", 3.48, 5.876).configuration("bin1x1") == "bin1x1_B-002_egain3.48_rn5.876"
    assert Sign().configuration("bin1x1") == "bin1x1"
    assert len(Sign(f"DETSER={'9' * 40}", 1.0).configuration("bin1x1_gain100")) <= 48


def test_serial_numbers_on_some_frames_are_said():
    told, silent = info(DETSER="A"), info()
    assert partly_told([told, told]) is None
    assert partly_told([silent]) is None
    assert partly_told([told, silent, told]) == (
        "DETSER=A stands on 2 of 3 frames only: the others are taken to be of the same camera"
    )


@given(st.dictionaries(st.sampled_from(SERIAL_NUMBERS), st.text() | st.integers()))
def test_any_serial_numbers_can_be_compared(cards):
    sign = Sign.of(info(**cards))
    assert not sign.contradicts(sign, tolerance=SAME)
    assert sign.configuration("bin1x1").startswith("bin1x1")
