"""Which points of a long series a plot must show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FAR = 4.0
"""A point farther from the median of its span than so many times the scatter there is always shown."""


def thinned(
    times: Floats,
    values: Floats,
    *,
    at_most: int,
    uncertainties: Floats | None = None,
    keep: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.intp]:
    """Return which points of a series to draw, so that the plot looks as if all were drawn.

    Time is cut into equal spans. Of each the first, the last, the lowest and the highest point are
    drawn, and besides every point that is farther from the span's median than `FAR` times its scatter,
    so that no outlier is ever lost, however many there are.

    Parameters
    ----------
    times, values : ndarray, shape (n,)
        Finite; in any order.
    at_most : int
        How many points to draw, from 4 on; outliers and what is to be kept come on top.
    uncertainties : ndarray, shape (n,), optional
        1-σ, of the unit of `values`; NaN where unknown. The scatter of a span is that of its values (1.4826 × the
        median absolute deviation), or the uncertainty of the point where that is larger.
    keep : ndarray of bool, shape (n,), optional
        Points to draw in any case.

    Returns
    -------
    ndarray of int
        Indices of the points, ascending; all of them where there are no more than `at_most`.

    Raises
    ------
    ValueError
        If `at_most` is below 4.
    """
    if at_most < 4:
        raise ValueError(f"at_most = {at_most}: a span of time takes 4 points, so give 4 or more")
    if times.size <= at_most:
        return np.arange(times.size)
    order = np.argsort(times, kind="stable")
    edges = np.linspace(times[order[0]], times[order[-1]], at_most // 4 + 1)[1:-1]
    spans = np.split(order, np.searchsorted(times[order], edges))
    own = np.zeros(times.size) if uncertainties is None else np.nan_to_num(uncertainties)
    shown = np.zeros(times.size, bool) if keep is None else keep.copy()
    for span in spans:
        if span.size:
            shown[span] |= _telling(values[span], own[span])
    return np.flatnonzero(shown)


def _telling(values: Floats, uncertainties: Floats) -> npt.NDArray[np.bool_]:
    """Return which points of one span, in order of time, must be shown."""
    distance = np.abs(values - np.median(values))
    scatter = np.maximum(1.4826 * np.median(distance), uncertainties)
    telling: npt.NDArray[np.bool_] = distance > FAR * scatter
    telling[np.array([0, -1, values.argmin(), values.argmax()])] = True
    return telling
