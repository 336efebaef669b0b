"""Which pixels are not to be trusted: hot, dead, noisy, not linear; found from the calibration frames themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter
from scipy.special import chdtri

from ccdcore.cards.sections import Amplifier, cut
from ccdcore.frames.colour_pattern import by_plane, plane_levels
from ccdcore.frames.frame import SeriesFrame
from ccdcore.masters.stack import PerAmplifier
from ccdcore.numerics.histogram import Histogram
from ccdcore.numerics.robust import QUANTISATION_VARIANCE
from ccdcore.reduction.master import MaskBit, Master, MasterInput
from ccdcore.reduction.reduce import CalibrationFrame, ReducedPixels

Image = npt.NDArray[Any]

HOT_SIGMA = 5.0
"""A hot pixel stands out in every single frame: by this many times its noise, and …"""
_PATTERN_SIGMA = 8.0
"""… by this many times the scatter of the pixels around it."""

NOISY_FACTOR = 2.0
"""A noisy pixel scatters by more than this many times the others' noise."""
_FALSE_ALARMS = 1e-7
_FEWEST_FOR_NOISE = 5

DEAD_RESPONSE = 0.5
"""A dead pixel sees less than this fraction of the light of its surroundings."""

NONLINEAR = 0.05
"""A pixel is not linear where its answer to bright over faint light differs by more from that of its surroundings."""
_FROM_NOISE = 6.0
_FAINT_TO_BRIGHT = 2.0
_FRAMES_OF_A_LEVEL = 4

BOX = 16
"""Side of the surroundings, in pixels."""
_BAND_ROWS = 64
_SMOOTH = 0.1
"""Surroundings whose pixels scatter by more than this fraction are structured light, where no pixel is judged."""

_WHAT_IT_TAKES = {
    MaskBit.NOISY: f"noisy pixels ({_FEWEST_FOR_NOISE} biases show them)",
    MaskBit.DEAD: "dead pixels (a master flat with smooth light shows them)",
    MaskBit.NONLINEAR: "pixels that are not linear (flats of one filter that differ twofold in light show them)",
}

BAD = MaskBit.HOT, MaskBit.DEAD, MaskBit.NOISY, MaskBit.NONLINEAR


@dataclass(frozen=True, slots=True, eq=False)
class BadPixels:
    """A mask of bad pixels.

    Parameters
    ----------
    mask : ndarray of uint8, shape (rows, columns)
        Bits of `MaskBit`: one or more of `BAD`, or ``OUTSIDE`` of the amplifiers' data sections; else 0.
    counts : mapping of str to mapping of MaskBit to int
        Bad pixels of each amplifier. Of a kind that could not be looked for there is no count.
    n_bad : mapping of str to int
        Pixels of each amplifier that are bad in any way.
    inputs : tuple of MasterInput
        The frames that it was found from.
    """

    mask: npt.NDArray[np.uint8]
    counts: Mapping[str, Mapping[MaskBit, int]]
    n_bad: Mapping[str, int]
    inputs: tuple[MasterInput, ...]

    def not_looked_for(self, amplifier: str) -> str | None:
        """Say in words which kinds could not be looked for in an amplifier, and why; None where all could."""
        missing = [why for bit, why in _WHAT_IT_TAKES.items() if bit not in self.counts[amplifier]]
        return f"not looked for: {'; '.join(missing)}" if missing else None


def find_bad_pixels(
    bias: Master,
    *,
    amplifiers: Sequence[Amplifier],
    read_noise_adu: PerAmplifier,
    dark: Master | None = None,
    flats: Iterable[Master] = (),
    flat_frames: Sequence[SeriesFrame] = (),
    step_adu: float = 1.0,
) -> BadPixels:
    """Find bad pixels.

    Parameters
    ----------
    bias : Master
        Where there is no dark its bright pixels are the hot ones; its uncertainty shows the noisy ones
        where it was made of five frames at least.
    amplifiers : sequence of Amplifier
        The read-out channels.
    read_noise_adu : float or mapping
        Read noise in ADU RMS, of all or of each amplifier.
    dark : Master, optional
        Shows the hot pixels; the longer its exposure, the more.
    flats : iterable of Master
        Show the dead pixels, where the light is smooth; behind the filters of a colour camera each pixel is compared
        with those of its own colour. One is held at a time, where they come so.
    flat_frames : sequence of SeriesFrame
        Raw flats; where those of one filter span a factor of two in light they show what is not linear.
    step_adu : float
        Distance of the values that raw pixels can have.

    Returns
    -------
    BadPixels
        Its mask has the shape (rows, columns) of the masters.
    """
    mask = np.full(bias.value.shape, MaskBit.OUTSIDE, np.uint8)
    inputs = {entry.sha256: entry for master in filter(None, (bias, dark)) for entry in master.inputs}
    noises = {one.name: _one_pixel_noise(read_noise_adu, one, step_adu) for one in amplifiers}
    dead: dict[str, Image] = {}
    for flat in flats:
        inputs |= {entry.sha256: entry for entry in flat.inputs}
        for one in amplifiers:
            _join(dead, one.name, _dead_of_its_colour(_part(flat, one)))
        del flat  # before the next is read
    different: dict[str, Image] = {}
    for faint, bright in _faint_and_bright(flat_frames, bias):
        for one in amplifiers:
            parts = cut(faint, one.data), cut(bright, one.data)
            _join(different, one.name, _not_linear_of_its_colour(*parts, noises[one.name]))
        del faint, bright, parts
    counts: dict[str, dict[MaskBit, int]] = {}
    n_bad = {}
    for amplifier in amplifiers:
        noise = noises[amplifier.name]
        section = cut(mask, amplifier.data)
        section[:] = 0
        found = {
            MaskBit.HOT: _hot(_part(dark or bias, amplifier), noise),
            MaskBit.NOISY: _noisy(bias, amplifier, noise),
            MaskBit.DEAD: dead.get(amplifier.name),
            MaskBit.NONLINEAR: different.get(amplifier.name),
        }
        for bit, where in found.items():
            if where is not None:
                section[where] |= np.uint8(bit)
        counts[amplifier.name] = {bit: int(where.sum()) for bit, where in found.items() if where is not None}
        n_bad[amplifier.name] = int(np.count_nonzero(section))
    return BadPixels(mask, counts, n_bad, tuple(inputs.values()))


def _part(master: Master, amplifier: Amplifier) -> Image:
    """Return an amplifier's pixels; those of a dark rate as the signal in its longest exposure."""
    seconds = master.exposure_range_s[1] if master.unit == "adu/s" and master.exposure_range_s else 1.0
    image = cut(master.value, amplifier.data)
    return image if seconds == 1 else image * np.float32(seconds)


def _one_pixel_noise(read_noise_adu: PerAmplifier, amplifier: Amplifier, step_adu: float) -> float:
    """Return the noise of a pixel of one frame without light, that of rounding included."""
    given = read_noise_adu.get(amplifier.name, 0.0) if isinstance(read_noise_adu, Mapping) else read_noise_adu
    return float(np.sqrt(given**2 + QUANTISATION_VARIANCE * step_adu**2))


def _join(found: dict[str, Image], name: str, where: Image | None) -> None:
    """Add what was found in one more image; None where it could not be judged."""
    if where is not None:
        found[name] = found[name] | where if name in found else where


def _hot(image: Image, noise: float) -> Image:
    """Return the pixels that stand out of their row and column."""
    # Medians of some hundred pixels are good to a tenth of the scatter, at an eighth of the price.
    step = max(1, min(image.shape) // 256)
    columns = np.nanmedian(image[::step], axis=0)
    hot = np.zeros(image.shape, bool)
    excess = image[::step] - columns
    excess -= np.nanmedian(excess[:, ::step], axis=1)[:, np.newaxis]
    excess = excess[:, ::step]
    pattern = Histogram.of(excess).sigma if np.isfinite(excess).any() else 0.0
    for rows in bands(image):
        excess = image[rows] - columns
        excess -= np.nanmedian(excess[:, ::step], axis=1)[:, np.newaxis]
        hot[rows] = excess > max(HOT_SIGMA * noise, _PATTERN_SIGMA * pattern)
    return hot


def _noisy(bias: Master, amplifier: Amplifier, noise: float) -> Image | None:
    """Return the pixels whose values scatter too much, from u² = [4σ² + Σ(x − x̄)²]/[(n + 3) n] of the master."""
    n_frames = len(bias.inputs)
    if n_frames < _FEWEST_FOR_NOISE:
        return None
    limit = max(NOISY_FACTOR**2 * (n_frames - 1), float(chdtri(n_frames - 1, _FALSE_ALARMS))) * noise**2
    n_used, uncertainty = cut(bias.n_used, amplifier.data), cut(bias.uncertainty, amplifier.data)
    noisy = np.zeros(n_used.shape, bool)
    for rows in bands(noisy):
        n = n_used[rows].astype(np.float32)
        squares = uncertainty[rows] ** 2 * n * (n + 3) - np.float32(4 * noise**2)
        # One value may be a cosmic ray; of more that were clipped the pixel is to blame.
        noisy[rows] = (squares > limit) | (n < n_frames - 1)
    return noisy


def bands(image: Image) -> Iterator[slice]:
    """Yield some rows of an image, shape (rows, columns), at a time: what is made of them takes more room than it."""
    for start in range(0, len(image), _BAND_ROWS):
        yield slice(start, start + _BAND_ROWS)


def _dead_of_its_colour(flat: Image) -> Image | None:
    return by_plane(_dead, plane_levels(flat), flat)


def _not_linear_of_its_colour(faint: Image, bright: Image, noise: float) -> Image | None:
    return by_plane(partial(_not_linear, noise=noise), plane_levels(bright), faint, bright)


def _dead(flat: Image) -> Image | None:
    """Return the pixels far below their surroundings; None where the light is nowhere smooth."""
    dead, judged = np.zeros(flat.shape, bool), False
    for rows, surroundings, scatter in light_around(flat):
        smooth = (surroundings > 0) & (scatter < _SMOOTH * surroundings)
        judged = judged or bool(smooth.any())
        dead[rows] = smooth & (flat[rows] < DEAD_RESPONSE * surroundings)
    return dead if judged else None


def _not_linear(faint: Image, bright: Image, noise: float) -> Image | None:
    """Return the pixels that answer bright light otherwise than faint light; None where the light is nowhere smooth."""
    ratio = np.full(np.shape(faint), np.nan, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(bright, faint, out=ratio, where=faint > HOT_SIGMA * noise)
    different, judged = np.zeros(ratio.shape, bool), False
    for rows, surroundings, scatter in light_around(ratio):
        smooth = scatter < _SMOOTH * surroundings
        judged = judged or bool(smooth.any())
        limit = np.maximum(NONLINEAR * surroundings, _FROM_NOISE * scatter)
        different[rows] = smooth & (np.abs(ratio[rows] - surroundings) > limit)
    return different if judged else None


def light_around(image: Image) -> Iterator[tuple[slice, Image, Image]]:
    """Yield rows with the median of each pixel's box, and the scatter in it from the central 68 %, as one row each.

    Boxes are 16 pixels wide and high; the image has shape (rows, columns), and its unit is theirs. Both are NaN where a
    box has no value; the scatter is infinite next to boxes of less than half of its median.
    """
    rows, columns = (np.linspace(0, n, max(1, n // BOX) + 1).astype(int) for n in image.shape)
    middle, scatter = (np.full((rows.size - 1, columns.size - 1), np.nan, np.float32) for _ in range(2))
    for number, (low, high) in enumerate(pairwise(rows)):
        for size, some in _of_one_size(columns):
            boxes = np.stack([image[low:high, start : start + size].ravel() for start in columns[some]])
            boxes.sort(axis=1)  # NaN come last
            n = np.isfinite(boxes).sum(axis=1)
            ranks = np.stack([(fraction * (n - 1)).astype(int).clip(0) for fraction in (0.1587, 0.5, 0.8413)], axis=1)
            lower, median, upper = np.take_along_axis(boxes, ranks, axis=1).T
            middle[number, some], scatter[number, some] = median, (upper - lower) / 2
    # At an edge of the light the pixels beyond are dark, not dead.
    lowest = minimum_filter(np.nan_to_num(middle), 3, mode="nearest")
    scatter[lowest < DEAD_RESPONSE * middle] = np.inf
    widths = np.diff(columns)
    for number, (low, high) in enumerate(pairwise(rows)):
        yield slice(low, high), np.repeat(middle[number], widths), np.repeat(scatter[number], widths)


def _of_one_size(bounds: npt.NDArray[np.int_]) -> Iterator[tuple[int, list[int]]]:
    """Yield the sizes of intervals, each with the numbers of those that have it."""
    sizes = np.diff(bounds).tolist()
    for size, some in groupby(sorted(range(len(sizes)), key=sizes.__getitem__), key=sizes.__getitem__):
        yield size, list(some)


def _faint_and_bright(frames: Sequence[SeriesFrame], bias: Master) -> Iterator[tuple[Image, Image]]:
    """Yield, for each filter whose flats span a factor of two in light, the mean of faint and of bright ones."""
    dark_level = float(np.median([entry.level_adu for entry in bias.inputs]))

    def light(frame: SeriesFrame) -> float:
        levels = [each.level - (each.overscan_level or 0.0) for each in frame.statistics]
        return float(np.mean(levels)) - dark_level

    for name in dict.fromkeys(frame.info.filter for frame in frames):
        ordered = sorted((frame for frame in frames if frame.info.filter == name), key=light)
        faintest, brightest = light(ordered[0]), light(ordered[-1])
        if faintest > 0 and brightest > _FAINT_TO_BRIGHT * faintest:
            faint = [frame for frame in ordered if light(frame) < 1.1 * faintest][:_FRAMES_OF_A_LEVEL]
            bright = [frame for frame in ordered if light(frame) > 0.9 * brightest][-_FRAMES_OF_A_LEVEL:]
            yield _mean(faint, bias), _mean(bright, bias)


def _mean(frames: Sequence[CalibrationFrame], bias: Master) -> Image:
    """Return the mean of some frames; saturated pixels are NaN."""
    total: Image = np.zeros(bias.value.shape, np.float32)
    for frame in frames:
        reduced = ReducedPixels.opened(frame, bias, None)
        for rows in bands(total):
            total[rows] += reduced[rows]
    total /= len(frames)
    return total
