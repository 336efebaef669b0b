"""Gain and read noise by photon transfer.

Three methods. ``pair`` is the textbook estimator of the Handbook of CCD
Astronomy (§4.3; IRAF `findgain`): exact, of the whole amplifier, and far off
where the lamp drifts on structured light or cosmic rays hit. ``binned``
compares pixels of equal light: see `_flat_pair`. ``ptc`` fits the curve of a
ramp of light levels to the same points: see `_ramp_fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import islice, pairwise
from typing import Literal, TypeVar

import numpy as np

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import InsufficientDataError
from ccdcore.noise.bias_series import BiasSeries
from ccdcore.noise.exposures import Exposure, Exposures, Image, channels, name_of
from ccdcore.photon_transfer.flat_series import FlatSeries
from ccdcore.photon_transfer.header_doubts import with_header_doubts
from ccdcore.photon_transfer.result import PhotonTransfer, PhotonTransferPoint
from ccdcore.photon_transfer.summary import transfer_result
from ccdcore.photon_transfer.textbook_pair import textbook_pair

__all__ = ["PhotonTransfer", "PhotonTransferPoint", "measure_gain", "warm_up"]

AnySeries = TypeVar("AnySeries", BiasSeries, FlatSeries)


_MOST_TOLD = 3
"""Dead amplifiers that an error names."""


def measure_gain(
    bias: Sequence[Image],
    flat: Sequence[Image],
    *,
    method: Literal["auto", "pair", "binned", "ptc"] = "auto",
    region: str | Section | None = None,
    amplifiers: Sequence[Amplifier] | None = None,
) -> tuple[PhotonTransfer, ...]:
    """Measure gain and read noise of each amplifier.

    Parameters
    ----------
    bias, flat : sequence of Frame, SeriesFrame, path or ndarray
        Raw frames in ADU, in the order they were taken. Paths are read one at
        a time. Flats of several filters and exposure times may be mixed:
        pairs are formed of consecutive ones of equal filter and exposure time
        (1 %) whose flux differs by less than 10 %.
    method : {"auto", "pair", "binned", "ptc"}
        ``"pair"`` takes the first two frames of each kind as they are;
        ``"binned"`` all pairs; ``"ptc"`` all pairs of a ramp of light levels.
        ``"auto"`` is ``"ptc"`` for an amplifier with three levels or more that
        span a factor of three, else ``"binned"``.
    region : str or Section, optional
        Only these pixels, ``"[x1:x2,y1:y2]"``.
    amplifiers : sequence of Amplifier, optional
        Wins over the amplifiers of the frames; without either the whole image
        is one. Where there is an overscan section its level is subtracted
        from each frame.

    Returns
    -------
    tuple of PhotonTransfer
        One for each amplifier that has pixels in the region and two biases that differ there; the notes name the
        others. Without a usable
        pair of flats, or with ``"ptc"`` without a ramp, the gain is None and
        the method ``"bias only"``.

    Raises
    ------
    InsufficientDataError
        If there are fewer than two usable biases, or frames differ in shape.
    SectionError
        If a section does not fit, or no amplifier has pixels in the region.
    FrameReadError
        If a file cannot be read.
    ValueError
        If the method is unknown.

    Notes
    -----
    ``"binned"``: the variance of one frame at mean signal μ is
    C = μ/g + B, with B the variance of the biases (all pairs of consecutive
    ones, cosmic rays clipped at 6 σ). The line is fitted to groups of pixels of
    equal light with B fixed, each weighted by the variance the model predicts.
    Where C bends down significantly (3 σ, and the signals span a factor of
    five) the fit is that of Astier et al. 2019 (A&A 629, A36), eq. 16:
    C = [exp(2 a₀₀ μ g) − 1]/(2 a₀₀ g²) + B. Uncertainties are statistical, with
    the correlation of pairs that share a frame in them, and times √(χ²/dof)
    where that is more than chance.

    ``"ptc"``: eq. 16 always, with g, a₀₀ and B free, B known from the biases. The
    pairs beyond the first downward break of the curve are left out, and those
    more than 5 σ and 2 % off it.

    Charge that moves to a neighbour stays in the sum: the covariances of the
    eight neighbours in the difference images, added to the variance, give the
    gain free of the brighter-fatter effect where there is one light level.

    ``"pair"``: g = (ΣF − ΣB)/[Var(F₁ − F₂) − Var(B₁ − B₂)], read noise
    g · std(B₁ − B₂)/√2. Its uncertainty is that of the noise only: it does not
    know of lamp drift and cosmic rays.
    """
    if method not in ("auto", "pair", "binned", "ptc"):
        raise ValueError(f"method {method!r} is unknown: write auto, pair, binned or ptc")
    exposures = Exposures()
    if method == "pair":
        pair = list(islice(exposures.raw(bias, "bias", in_time=False), 2))
        if len(pair) == 2:
            flats = list(islice(exposures.raw(flat, "flat", in_time=False), 2))
            return tuple(
                with_header_doubts(textbook_pair(channel, pair, flats, exposures.notes), bias, flat)
                for channel in channels(pair[0], amplifiers, region)
            )
    elif bias_series := _of_one_kind(
        exposures,
        bias,
        "bias",
        lambda odd: _bias_series(exposures, bias, odd, amplifiers, region),
    ):
        flat_series = _of_one_kind(
            exposures, flat, "flat", lambda odd: _flat_series(bias_series, exposures.flat_pairs(flat, odd))
        )
        return tuple(
            with_header_doubts(transfer_result(*both, method, exposures.notes), bias, flat)
            for both in zip(bias_series, flat_series, strict=True)
        )
    n_usable = len(bias) - len(exposures.notes)
    raise InsufficientDataError(
        " ".join([f"read noise needs two raw biases, {n_usable} usable: add biases.", *exposures.notes])
    )


def warm_up() -> None:
    """Compile what measures whole-number frames, or load it from the cache, so that no later call waits for it."""
    rng = np.random.default_rng(1)
    bias, flat = (list(rng.poisson(level, (2, 32, 32)).astype(np.uint16)) for level in (100, 1000))
    measure_gain(bias, flat)


def _of_one_kind(
    exposures: Exposures, images: Sequence[Image], kind: str, measure: Callable[[Container[int]], list[AnySeries]]
) -> list[AnySeries]:
    """Measure a series, and again without the few frames that are not of one kind with the others, as often as need be.

    A frame that is odd in one amplifier is left out of all.
    """
    odd: dict[int, str] = {}
    while True:
        series = measure(odd)
        found = {number: why for one in series for number, why in one.odd_frames().items()}
        between = {number: "" for one in series for number in one.in_the_way()} if not found else {}
        if not (found or between):
            return series
        odd |= between | found
        for number, why in found.items():
            exposures.note(f"{name_of(images[number - 1], number, kind)} left out: {why}")
        for one in series:
            for text in one.remarks_on(between):
                exposures.note(text)


def _bias_series(
    exposures: Exposures,
    biases: Sequence[Image],
    left_out: Container[int],
    amplifiers: Sequence[Amplifier] | None,
    region: str | Section | None,
) -> list[BiasSeries]:
    """Take in all pairs of consecutive biases, for each amplifier; nothing where there is no pair.

    An amplifier that has none of use, as a dead one, is left out with a note; the others are measured.
    """
    series: list[BiasSeries] = []
    before: Exposure | None = None
    for one, two in pairwise(exposures.raw(biases, "bias", left_out)):
        series = series or [BiasSeries(amplifier) for amplifier in channels(one, amplifiers, region)]
        for amplifier in series:
            amplifier.add(one, two)
            if before is not None:
                amplifier.compare(before, two)
        before = one
    dead = [
        f"amplifier {of.amplifier.name} has no usable pair of biases: {of.remarks[0]}" for of in series if not of.used
    ]
    if series and len(dead) == len(series):
        raise InsufficientDataError("; ".join(dead[:_MOST_TOLD]))
    for text in dead:
        exposures.note(text)
    return [of for of in series if of.used]


def _flat_series(
    bias_series: Sequence[BiasSeries], pairs: Iterator[tuple[Exposure, Exposure, Exposure | None]]
) -> list[FlatSeries]:
    series = [FlatSeries.after(biases) for biases in bias_series]
    for one, two, before in pairs:
        for amplifier in series:
            amplifier.add(one, two)
            if before is not None:
                amplifier.compare(before, two)
        before = None  # noqa: PLW2901 - it is not held while the next are read
    return series
