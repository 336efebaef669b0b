"""How much the response of pixels scatters (PRNU), from a master flat: its noise taken out, and all that is smooth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdcore.cards.sections import Amplifier, cut
from ccdcore.frames.colour_pattern import PLANES, plane_levels
from ccdcore.noise.anatomy import Estimate
from ccdcore.numerics.robust import median
from ccdcore.reduction.master import Master

Image = npt.NDArray[Any]

_SIDE = 16
"""Of the blocks, in pixels: what is a plane or a quadric in them is taken for light, and what is left for response."""

_CLIP, _MAD_TO_SIGMA = 5.0, 1.482602218505602
"""Pixels farther from the middle of their block, in σ, are bad pixels, dust or stars; so are blocks from the others."""

_BAND_PIXELS = 2**19

_FEWEST_PIXELS, _FEWEST_BLOCKS = _SIDE**2 // 2, 16
_LIT = 0.3
"""Light of a block, as part of the brightest, from which on it is measured."""

_STRUCTURED = 0.3
"""Correlation of what is left of neighbours, along rows and along columns, that light has, and response has not."""

_SIGNIFICANT = 3.0
"""A scatter that is less than so many times its uncertainty, both squared, is lost in the noise of the master."""

_OF_QUADRIC = 6
"""Parameters."""


def response_scatter(flat: Master, amplifier: Amplifier) -> Estimate | None:
    r"""Measure the relative scatter of the response of an amplifier's pixels.

    Blocks of 16 × 16 pixels, of one colour behind the filters of a colour camera, are compared with quadrics:

    .. math::

        \mathrm{PRNU}^2 = \left\langle
            \frac{\sum (f - \hat f)^2 / (n - 6) - \overline{u^2}}{\overline{\hat f^2}} \right\rangle

    with the uncertainty :math:`u` of the master, which has the photon noise, the read noise, and that of what was
    subtracted; the light of a block is the mean square of the quadric over its pixels, which the middle of vignetted
    light exceeds. Its own uncertainty is from the scatter of the blocks. It is that of EMVA 1288 (release 4, section
    8.2.2), where illumination is taken out by a high pass, too.

    Parameters
    ----------
    flat : Master
        A master flat of shape (rows, columns); masked pixels are left out.
    amplifier : Amplifier
        Whose data section is looked at.

    Returns
    -------
    Estimate or None
        As a fraction of the response. None where the scatter is lost in the noise, where light has structure in the
        blocks (a spectrum, fringes), or where few blocks are lit.
    """
    value, uncertainty, good = (cut(image, amplifier.data) for image in (flat.value, flat.uncertainty, flat.mask == 0))
    is_even = bool((plane_levels(value) == 1).all())
    planes = [(slice(None), slice(None))] if is_even else PLANES
    parts = [
        _blocks(value[plane][band], uncertainty[plane][band], good[plane][band])
        for plane in planes
        for band in _bands(value[plane].shape)
    ]
    variance, light, along, across = (np.concatenate(each) for each in zip(*parts, strict=True))
    if variance.size < _FEWEST_BLOCKS or min(np.median(along), np.median(across)) > _STRUCTURED:
        return None
    lit = light > _LIT * np.percentile(light, 90)
    of_lit = variance[lit]
    scatter = _MAD_TO_SIGMA * median(np.abs(of_lit - median(of_lit)))
    of_lit = of_lit[np.abs(of_lit - median(of_lit)) <= _CLIP * scatter]
    if of_lit.size < _FEWEST_BLOCKS:
        return None
    mean, error = float(of_lit.mean()), float(of_lit.std(ddof=1)) / of_lit.size**0.5
    if mean < _SIGNIFICANT * error:
        return None
    return Estimate(mean**0.5, error / (2 * mean**0.5))


class _Blocks(NamedTuple):
    """Relative variance of the response of each block, its light (RMS), and the correlation of neighbours in it."""

    variance: npt.NDArray[np.float64]
    light: npt.NDArray[np.float64]
    along: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]


def _bands(shape: tuple[int, ...]) -> list[slice]:
    """Return rows of whole blocks, so many that what is reckoned with at a time stays small."""
    rows = _SIDE * max(1, _BAND_PIXELS // (_SIDE * shape[1]))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]


def _blocks(value: Image, uncertainty: Image, good: Image) -> _Blocks:
    down, over = (size // _SIDE for size in value.shape)
    images = (image[: down * _SIDE, : over * _SIDE].astype(np.float64) for image in (value, uncertainty, good))
    cells = (one.reshape(down, _SIDE, over, _SIDE).swapaxes(1, 2).reshape(-1, _SIDE**2) for one in images)
    values, noise, is_good = cells
    usable = (is_good > 0) & np.isfinite(values) & np.isfinite(noise)
    values, noise = np.where(usable, values, np.nan), np.where(usable, noise, 0)
    enough = usable.sum(axis=1) >= _FEWEST_PIXELS
    values, noise, usable = values[enough], noise[enough], usable[enough]
    middle = np.nanmedian(values, axis=1, keepdims=True)
    off = np.abs(values - middle)
    usable &= off <= _CLIP * _MAD_TO_SIGMA * np.nanmedian(off, axis=1, keepdims=True)
    values, n = np.where(usable, values, 0), usable.sum(axis=1)
    left, light = _from_quadrics(values, usable)
    squares, of_noise = np.square(left).sum(axis=1), np.where(usable, np.square(noise), 0).sum(axis=1) / n
    variance = squares / (n - _OF_QUADRIC) - of_noise
    grid, total = left.reshape(-1, _SIDE, _SIDE), np.where(squares > 0, squares, 1)
    along, across = (grid[:, :, 1:] * grid[:, :, :-1]), (grid[:, 1:] * grid[:, :-1])
    is_light = light > 0
    return _Blocks(
        (variance / np.square(np.where(is_light, light, 1)))[is_light],
        light[is_light],
        (along.sum(axis=(1, 2)) / total)[is_light],
        (across.sum(axis=(1, 2)) / total)[is_light],
    )


def _from_quadrics(values: Image, usable: Image) -> tuple[Image, npt.NDArray[np.float64]]:
    """Return what is left of blocks, shape (blocks, pixels), less the quadric through each, and the RMS of that."""
    place = np.linspace(-1, 1, _SIDE)
    y, x = np.repeat(place, _SIDE), np.tile(place, _SIDE)
    design = np.stack([np.ones(_SIDE**2), x, y, x * x, x * y, y * y], axis=1)
    normal = np.einsum("bp,pi,pj->bij", usable.astype(np.float64), design, design, optimize=True)
    found = np.linalg.solve(normal, (values @ design)[:, :, np.newaxis])[:, :, 0]
    light = np.where(usable, found @ design.T, 0)
    rms = np.sqrt(np.square(light).sum(axis=1) / usable.sum(axis=1))
    return np.where(usable, values - light, 0), np.where(found[:, 0] > 0, rms, 0)
