"""What neighbouring pixels share of the noise of light: charge that pushes charge, patterns, and work of programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
import numpy.typing as npt

from ccdcore.flat_pairs.flat_pair import Neighbours
from ccdcore.photon_transfer.curve_fit import TransferFit, curvature

Array = npt.NDArray[np.float64]

_FARTHER, _FARTHER_UNCERTAINTY = 1.2, 0.15
"""Covariances with all neighbours over those with the eight nearest, and its 1-σ uncertainty."""

_SHARED, _HALF = 3.0, 0.5
"""σ from which on something is known, and part of the noise lacking that neighbours have at least."""

_SMOOTH, _AS_BESIDE = 0.01, 0.5
"""Part of the noise shared across a corner that counts, and over that beside: 0.2 to 0.4 of charge that moves."""

_BESIDE, _SIGMAS = 0.1, 5.0
"""Part of the noise shared with a neighbour, and σ of it, that charge which moves does not make: some hundredths."""

_LEAST_LIGHT = 0.1
"""Noise of light over that of the model, of pixels that light makes noisy."""


@dataclass(frozen=True, slots=True)
class SharedNoise:
    """Covariances of neighbours in some pairs of flats.

    Parameters
    ----------
    pairs : sequence of Neighbours
        Of each pair.
    of_biases : float
        Correlation of the noise of biases with the eight neighbours, added up.
    overlap : float
        Inflation of the variance of a mean over the pairs, by frames they share.
    """

    pairs: Sequence[Neighbours]
    of_biases: float
    overlap: float

    def with_all(self) -> tuple[float, float]:
        """Return the covariances of photon noise with all neighbours over its variance, and their uncertainty.

        The eight nearest are measured; farther ones, each too small for that, are taken to add a fifth, within 15 %.
        """
        nearest, errors = self._nearest()
        share = _FARTHER * float(nearest.mean())
        statistical = _FARTHER * float(np.sqrt(np.sum(errors**2) * self.overlap)) / len(self.pairs)
        return share, hypot(statistical, _FARTHER_UNCERTAINTY * share / _FARTHER)

    def smooth(self) -> float:
        """Return which part of the noise is smooth: shared with neighbours across corners as with those beside.

        Charge that goes to neighbours (the brighter-fatter effect, capacitance between pixels) reaches those beside
        several times more; noise of rows and columns only them. 0 where it is either, or next to nothing.
        """
        (right, down_left, down, down_right), uncertainty = self._means()
        share = min(down_left, down_right)
        is_smooth = share > max(_SMOOTH, _SIGMAS * uncertainty, _AS_BESIDE * (right + down) / 2)
        return share if is_smooth else 0.0

    def beside(self) -> float:
        """Return which part of the noise is shared with the next pixel of a row or column; 0 where charge may do it."""
        (right, _, down, _), uncertainty = self._means()
        share = max(right, down)
        return share if share > max(_BESIDE, _SIGMAS * uncertainty) else 0.0

    def explains(self, fit: TransferFit, signals: Array) -> bool | None:
        """Whether neighbours share the noise that a bent curve lacks, where charge pushes charge; None if unknown.

        Parameters
        ----------
        fit : TransferFit
            The curve.
        signals : ndarray of float64, shape (n_pairs,)
            Light of each pair, in ADU.
        """
        if fit.bend is None:
            return None
        nearest, errors = self._nearest()
        lacking = 1 / curvature(signals * fit.gain, fit.bend[0]) - 1
        norm = float(np.sum((lacking / errors) ** 2))
        part, error = _FARTHER * float(np.sum(lacking * nearest / errors**2)) / norm, _FARTHER * norm**-0.5
        if part > _SHARED * error and part > _HALF - error:
            return True
        return False if part < _HALF - _SHARED * error else None

    def _light(self) -> Array:
        # Where no pixel is lit enough nothing is known of neighbours: the uncertainty says so.
        return np.maximum([n.covariance[0] - n.bias_share for n in self.pairs], _LEAST_LIGHT)

    def _nearest(self) -> tuple[Array, Array]:
        """Return the covariances of photon noise with the eight neighbours over its variance, and their uncertainty."""
        light = self._light()
        nearest = 2 * np.array([n.covariance[1:].sum() - n.bias_share * self.of_biases / 2 for n in self.pairs]) / light
        return nearest, 2 * np.array([np.sqrt(np.sum(n.uncertainty[1:] ** 2)) for n in self.pairs]) / light

    def _means(self) -> tuple[list[float], float]:
        """Return the parts of the noise shared with each kind of neighbour, and their uncertainty."""
        light = self._light()
        shares = np.array([n.covariance[1:] - n.bias_share * self.of_biases / 8 for n in self.pairs]) / light[:, None]
        errors = np.array([n.uncertainty[1:].max() for n in self.pairs]) / light
        return shares.mean(axis=0).tolist(), float(np.sqrt(np.sum(errors**2) * self.overlap)) / len(self.pairs)
