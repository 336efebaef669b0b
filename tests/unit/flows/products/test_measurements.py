"""What a doubt about a photon transfer does to the rows of the record."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from ccdcore.photon_transfer.measure import PhotonTransfer
from db.runs.measurements import ValueOnRecord
from flows.products.measurements import doubt_about_gain, transfer_rows

AT = {"observed_at": datetime(2024, 3, 10, 20, tzinfo=UTC)}


def result(gain: float | None, doubts: tuple[str, ...]) -> PhotonTransfer:
    return PhotonTransfer(
        amplifier="1",
        method="binned",
        gain_e_per_adu=gain,
        gain_uncertainty=gain and 0.01,
        read_noise_adu=3.0,
        read_noise_adu_uncertainty=0.01,
        read_noise_e=gain and 3 * gain,
        read_noise_uncertainty=gain and 0.01,
        bias_level_adu=500.0,
        level_range_adu=None,
        n_bias=2,
        n_flat=2,
        n_flat_pairs=1,
        n_pixels=100,
        gain_corrected_e_per_adu=gain,
        gain_corrected_uncertainty=gain and 0.01,
        doubts=doubts,
    )


@pytest.mark.parametrize(
    ("gain", "suspect"),
    [(1.6, {"gain", "corrected_gain", "read_noise"}), (None, {"read_noise_adu"})],
)
def test_doubts_of_a_photon_transfer_make_its_numbers_suspect(gain: float | None, suspect: set[str]) -> None:
    doubted = result(gain, ("two gains", "a bent response"))
    doubt = doubt_about_gain(doubted, [], [])
    assert doubt == "two gains; a bent response"
    rows = transfer_rows(doubted, AT, earlier=None, doubt=doubt)
    assert {row.quantity for row in rows if row.remark} == suspect
    assert doubt_about_gain(result(gain, ()), [], []) is None


@pytest.mark.parametrize(
    ("gain", "before", "said"),
    [
        (12.8, [1.6, 1.62], "it is 8 times that of 2024-03-10 (measurement 0): another gain setting, or averages"),
        (0.5, [1.6], "it is 0.31 times that of 2024-03-10"),
        (1.6, [12.8, 1.6], None),
        (1.6, [1.3, 2.5], None),
        (1.6, [], None),
    ],
)
def test_a_gain_far_from_all_earlier_ones_is_doubted(gain: float, before: list[float], said: str | None) -> None:
    earlier = [ValueOnRecord(number, value, 0.01, AT["observed_at"]) for number, value in enumerate(before)]
    assert (doubt_about_gain(result(gain, ()), [], [], earlier) or "").startswith(said or "")
    assert (doubt_about_gain(result(gain, ()), [], [], earlier) is None) == (said is None)


def test_the_dynamic_range_is_full_well_over_read_noise() -> None:
    ramp = replace(result(1.6, ()), turn_off_adu=30_000.0)
    (row,) = (row for row in transfer_rows(ramp, AT, earlier=None, doubt=None) if row.quantity == "dynamic_range")
    assert row.value == pytest.approx(80.0)
    assert row.uncertainty == pytest.approx(20 * np.log10(3.01 / 3.0), rel=0.01)
    assert "dynamic_range" not in {row.quantity for row in transfer_rows(result(1.6, ()), AT, earlier=None, doubt=None)}
