"""The short version of `make fuzz`: nothing wrong without a word, and what is as it should be comes out as numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.fuzz import Verdict, batch, judge, night_of, summary
from benchmarks.fuzz_faults import FAULTS

NIGHTS = range(32)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return batch(NIGHTS, 1)


def test_nothing_is_wrong_without_a_word(verdicts: Sequence[Verdict]) -> None:
    assert [one for one in verdicts if one.kind == "wrong"] == []


def test_nights_without_a_fault_come_out_as_numbers(verdicts: Sequence[Verdict]) -> None:
    plain = [one for one in verdicts if not one.planted]
    assert len(plain) >= 8
    assert all(one.numbers for one in plain)
    assert [one for one in plain if not (one.unflagged and one.within)] == []


def test_most_faults_are_named(verdicts: Sequence[Verdict]) -> None:
    planted = [one for one in verdicts if one.planted]
    assert len({one.planted for one in planted}) > len(FAULTS) / 3
    assert np.mean([one.kind == "misnamed" for one in planted]) <= 0.1


def _row(gain: float, noise: float, **about: Any) -> dict[str, Any]:
    sigma = {"gain_uncertainty": 0.001 * gain, "gain_systematic_uncertainty": None}
    row = {
        "amplifier": "1",
        "gain_e_per_adu": gain,
        "read_noise_adu": noise,
        "read_noise_adu_uncertainty": 0.001 * noise,
    }
    return {**row, **sigma, "verdict": "unjudged", "notes": [], **about}


def _kind(night_number: int, *rows: dict[str, Any], excluded: Sequence[dict[str, Any]] = (), planted: str = "") -> str:
    night = night_of(night_number, 1)
    night.planted = planted
    answer = {"characterisations": rows, "masters": [], "excluded": excluded, "failed": []}
    return judge(night_number, night, answer).kind


def test_a_wrong_number_is_told_from_one_that_is_flagged_for_its_cause() -> None:
    gain, noise = night_of(0, 1).truths[0][0]
    fault = next(one.name for one in FAULTS if one.name == "saturated flats")
    said = ["most of the pixels are saturated"]
    assert _kind(0, _row(gain, noise)) == "right"
    assert _kind(0, _row(1.05 * gain, noise)) == "wrong"
    assert _kind(0, _row(gain, 0.9 * noise)) == "wrong"
    assert _kind(0, _row(1.05 * gain, noise), planted=fault) == "wrong"
    assert _kind(0, _row(1.05 * gain, noise, verdict="suspect"), planted=fault) == "misnamed"
    assert _kind(0, _row(1.05 * gain, noise, verdict="suspect", notes=["it is Monday"]), planted=fault) == "misnamed"
    assert _kind(0, _row(1.05 * gain, noise, verdict="suspect", notes=said), planted=fault) == "flagged"
    assert _kind(0, _row(1.05 * gain, noise, notes=said), planted=fault) == "flagged"
    assert _kind(0, excluded=[{"path": "a.fits", "reason": said[0]}], planted=fault) == "refused"


def test_the_summary_misses_its_goals_where_one_night_is_wrong(verdicts: Sequence[Verdict]) -> None:
    good = [replace(one, kind="right", within=True, unflagged=True, numbers=True) for one in verdicts]
    assert summary(good)[1]
    assert not summary([replace(good[0], kind="wrong"), *good[1:]])[1]
    assert not summary([replace(one, unflagged=False) for one in good])[1]
    assert not summary([replace(one, numbers=False) for one in good])[1]
