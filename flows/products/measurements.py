"""What was measured, as rows of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import datetime
from math import hypot, log, log10
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from ccdcore.frames.series_health import temperature_gap
from db.runs.measurements import BORROWED, NewMeasurement

if TYPE_CHECKING:
    from ccdcore.frames.frame import SeriesFrame
    from ccdcore.masters.bad_pixels import BadPixels
    from ccdcore.noise.anatomy import Estimate, NoiseAnatomy
    from ccdcore.photon_transfer.measure import PhotonTransfer
    from db.runs.measurements import ValueOnRecord

_DETAILS = ("level_range_adu", "n_bias", "n_flat", "n_flat_pairs", "n_pixels", "chi2_per_dof", "notes", "flat_doubts")

_OF_BIASES = frozenset({"read_noise", "read_noise_adu", "bias_level"})

_LIKE_AN_AVERAGE = 1.8
"""A gain this many times the header's may come from averaged flats: two halve the noise."""

_MOST_LINES = 32
_LINES_IN_WORDS = 3

Conditions = Mapping[str, Any]
"""Fields that all measurements of some frames share: when, and how cold."""


def conditions(frames: Sequence[SeriesFrame], at: datetime) -> Conditions:
    """Return the mean time of some frames, ``at`` where none has one, and the detector's median temperature."""
    times = [frame.info.date_obs for frame in frames if frame.info.date_obs]
    temperatures = [t for frame in frames if (t := frame.info.ccd_temperature_c) is not None]
    observed_at = datetime.fromtimestamp(fmean(time.timestamp() for time in times), tz=at.tzinfo) if times else at
    return {"observed_at": observed_at, "ccd_temperature_c": median(temperatures) if temperatures else None}


def transfer_rows(
    result: PhotonTransfer,
    common: Conditions,
    *,
    earlier: ValueOnRecord | None,
    doubt: str | None,
    are_borrowed: bool = False,
) -> list[NewMeasurement]:
    """Return gain, read noise and bias level of an amplifier.

    Without flats the gain is an earlier one. ``doubt`` is what is odd about what follows from the gain; without a
    gain, about the read noise. What comes from biases that ``are_borrowed`` was measured on their own night, and is in
    its trend: here it is for what is made of these frames only.
    """
    details = {name: value for name, value in asdict(result).items() if name in _DETAILS}
    curve = [astuple(point) for point in result.curve]
    read_noise, uncertainty, details_e = result.read_noise_e, result.read_noise_uncertainty, details
    if earlier is not None:
        read_noise = result.read_noise_adu * earlier.value
        relative = (result.read_noise_adu_uncertainty / result.read_noise_adu) ** 2
        relative += ((earlier.uncertainty or 0.0) / earlier.value) ** 2
        uncertainty = read_noise * relative**0.5
        note = f"electrons by the gain of {earlier.observed_at:%Y-%m-%d} (measurement {earlier.measurement_id})"
        details_e = {**details, "notes": [*result.notes, note]}
    of_gain = {
        **details,
        "curve": curve,
        "rejected": [astuple(point) for point in result.rejected],
        "reason": result.reason,
        "systematic_uncertainty": result.gain_systematic_uncertainty,
    }
    rows = [
        ("gain", result.gain_e_per_adu, result.gain_uncertainty, of_gain),
        ("corrected_gain", result.gain_corrected_e_per_adu, result.gain_corrected_uncertainty, details),
        ("a00", result.a00_per_e, result.a00_uncertainty, details),
        ("turn_off_adu", result.turn_off_adu, None, details),
        ("dynamic_range", *_dynamic_range(result), details),
        ("nonlinearity_fraction", result.nonlinearity, None, details),
        ("read_noise", read_noise, uncertainty, details_e),
        ("read_noise_adu", result.read_noise_adu, result.read_noise_adu_uncertainty, details),
        ("bias_level", result.bias_level_adu, None, details),
    ]
    doubts: dict[str, str | None] = dict.fromkeys(("gain", "corrected_gain", "read_noise"), doubt)
    doubts |= dict.fromkeys(("read_noise_adu", "bias_level"), "; ".join(result.bias_doubts) or None)
    if result.gain_e_per_adu is None:
        doubts["read_noise_adu"] = doubt
    return [
        NewMeasurement(
            quantity,
            result.amplifier,
            value,
            error,
            BORROWED if are_borrowed and quantity in _OF_BIASES else result.method,
            details=extra,
            remark=doubts.get(quantity),
            **common,
        )
        for quantity, value, error, extra in rows
        if value is not None
    ]


def _dynamic_range(result: PhotonTransfer) -> tuple[float | None, float | None]:
    """Return full well over read noise in dB, 20 log₁₀ of it, and its uncertainty; None without a full well."""
    if result.turn_off_adu is None or not result.read_noise_adu > 0:
        return None, None
    relative = result.read_noise_adu_uncertainty / result.read_noise_adu
    return 20 * log10(result.turn_off_adu / result.read_noise_adu), 20 / log(10) * relative


def doubt_about_gain(
    result: PhotonTransfer,
    biases: Sequence[SeriesFrame],
    flats: Sequence[SeriesFrame],
    earlier: Sequence[ValueOnRecord] = (),
) -> str | None:
    """Say in words what is odd about a result.

    Its own doubts, the temperatures of its frames, the header's claim, and the last gains on record, last first.
    """
    if result.gain_e_per_adu is None:
        return "; ".join([*result.bias_doubts, *result.doubts]) or None
    claims = {claim for frame in flats if (claim := frame.info.header_gain_e_per_adu)}
    claim = claims.pop() if len(claims) == 1 else result.gain_e_per_adu
    ratio = result.gain_e_per_adu / claim
    averages = f"it is {ratio:.1f} times the header's {claim:g} e⁻/ADU: are the flats averages of {ratio:.0f}?"
    doubts = [
        *result.bias_doubts,
        *result.doubts,
        temperature_gap(biases, flats),
        averages if ratio > _LIKE_AN_AVERAGE else None,
        _unlike_all(result.gain_e_per_adu, earlier),
    ]
    return "; ".join(filter(None, doubts)) or None


def _unlike_all(gain: float, earlier: Sequence[ValueOnRecord]) -> str | None:
    """Say in words that a gain is far from each of the earlier ones; None where it is not, or there are none."""
    ratios = [gain / one.value for one in earlier]
    if not ratios or min(max(ratio, 1 / ratio) for ratio in ratios) < _LIKE_AN_AVERAGE:
        return None
    return (
        f"it is {ratios[0]:.2g} times that of {earlier[0].observed_at:%Y-%m-%d} (measurement "
        f"{earlier[0].measurement_id}): another gain setting, or averages among the flats of one of them?"
    )


def noise_rows(anatomy: NoiseAnatomy, common: Conditions) -> list[NewMeasurement]:
    """Return the parts of an amplifier's noise."""
    details = {"n_bias": anatomy.n_bias, "n_flat": 0, "n_flat_pairs": 0, "notes": []}
    lines = [asdict(line) for line in anatomy.lines[:_MOST_LINES]]
    pickup = {**details, "lines": lines, "spectrum_adu2": anatomy.spectrum_adu2, "notes": _pickup_notes(anatomy)}
    rows: list[tuple[str, Estimate, Mapping[str, Any]]] = [
        ("fixed_pattern_adu", anatomy.fixed_pattern_adu, {**details, "parts_adu": anatomy.pattern_parts_adu}),
        ("row_noise_adu", anatomy.row_noise_adu, details),
        ("column_noise_adu", anatomy.column_noise_adu, details),
        ("pickup_adu", anatomy.pickup_adu, pickup),
        ("noise_tail_fraction", anatomy.tail_fraction, details),
    ]
    return [
        NewMeasurement(quantity, anatomy.amplifier, *estimate, "bias pairs", details=extra, **common)
        for quantity, estimate, extra in rows
    ]


def _pickup_notes(anatomy: NoiseAnatomy) -> list[str]:
    if not anatomy.lines:
        return []
    strongest = "; ".join(map(str, anatomy.lines[:_LINES_IN_WORDS]))
    more = len(anatomy.lines) - _LINES_IN_WORDS
    return [f"amplifier {anatomy.amplifier} has pick-up: {strongest}" + (f"; and {more} more" if more > 0 else "")]


def overscan_rows(
    read_noise: Estimate, result: PhotonTransfer, common: Conditions, *, earlier: ValueOnRecord | None
) -> list[NewMeasurement]:
    """Return the read noise of an amplifier's overscan; in electrons too, where there is a gain."""
    details = {"n_bias": result.n_bias, "n_flat": result.n_flat, "n_flat_pairs": 0, "notes": []}
    gain, gain_uncertainty = result.gain_e_per_adu, result.gain_uncertainty
    if earlier is not None:
        gain, gain_uncertainty = earlier.value, earlier.uncertainty
    rows = [("overscan_read_noise_adu", *read_noise)]
    if gain is not None:
        electrons = hypot(gain * read_noise.uncertainty, read_noise.value * (gain_uncertainty or 0.0))
        rows.append(("overscan_read_noise", gain * read_noise.value, electrons))
    return [
        NewMeasurement(quantity, result.amplifier, value, error, "overscan", details=details, **common)
        for quantity, value, error in rows
    ]


def response_rows(
    found: Mapping[str, Estimate], filter_name: str | None, n_flat: int, common: Conditions
) -> list[NewMeasurement]:
    """Return how much the response of each amplifier's pixels scatters, in the light of one filter."""
    details: Mapping[str, Any] = {"n_bias": None, "n_flat": n_flat, "n_flat_pairs": None, "notes": []}
    return [
        NewMeasurement("prnu", name, *estimate, "master flat", filter=filter_name, details=details, **common)
        for name, estimate in found.items()
    ]


def bad_pixel_rows(bad: BadPixels, common: Conditions) -> list[NewMeasurement]:
    """Return how many pixels of each amplifier are bad, in all and of each kind that could be looked for."""
    notes = {name: list(filter(None, [bad.not_looked_for(name)])) for name in bad.counts}
    rows = [
        (name, quantity, n)
        for name, counts in bad.counts.items()
        for quantity, n in [
            ("bad_pixels", bad.n_bad[name]),
            *((f"{bit.name or ''}_pixels".lower(), n) for bit, n in counts.items()),
        ]
    ]
    return [
        NewMeasurement(
            quantity,
            name,
            float(n),
            None,
            "masters",
            details={"n_bias": None, "n_flat": None, "n_flat_pairs": None, "notes": notes[name]},
            **common,
        )
        for name, quantity, n in rows
    ]
