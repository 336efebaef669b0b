"""What a doubt about a photon transfer does to the rows of the record."""

from datetime import UTC, datetime

import pytest

from ccdcore.photon_transfer import PhotonTransfer
from flows.measurements import doubt_about_gain, transfer_rows

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
