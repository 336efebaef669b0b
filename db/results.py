"""What a run hands over to be recorded: its inputs, measurements and masters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ccdcore.quantities import QUANTITIES, Verdict


@dataclass(frozen=True, slots=True)
class RunInput:
    """A frame or a master that a run used.

    Parameters
    ----------
    role : str
        ``bias``, ``dark`` or ``flat``.
    sha256, path : str or None
        The frame's identity, and the file that it was read from.
    master_id : int or None
        A master of another run, in place of a frame.
    excluded : str or None
        Why it was left out; None where it was used.
    borrowed : bool
        Whether it belongs to another window.
    """

    role: str
    sha256: str | None = None
    path: str | None = None
    master_id: int | None = None
    excluded: str | None = None
    borrowed: bool = False


@dataclass(frozen=True, slots=True)
class NewMeasurement:
    """One value of one quantity for one amplifier.

    Parameters
    ----------
    quantity : str
        One of `QUANTITIES`.
    unit : str
        Its unit.
    amplifier : str
        Its name.
    value, uncertainty : float, float or None
        In `unit`; the uncertainty is 1-σ.
    method : str
        How it was measured.
    observed_at : datetime
        Mean time of its inputs.
    filter : str or None
        Where it holds for one filter only.
    ccd_temperature_c : float or None
        Mean temperature of its inputs.
    details : mapping
        Level range, n_bias, n_flat, n_flat_pairs, n_pixels, chi2_per_dof, notes: plain JSON values.
    remark : str or None
        What is odd about it.

    Raises
    ------
    ValueError
        If the value is not finite, or there is no such quantity.
    """

    quantity: str
    unit: str
    amplifier: str
    value: float
    uncertainty: float | None
    method: str
    observed_at: datetime
    filter: str | None = None
    ccd_temperature_c: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    remark: str | None = None

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:  # whoever asks for all of them asks for these
            raise ValueError(f"there is no quantity {self.quantity!r}: add it to QUANTITIES")
        if not math.isfinite(self.value):
            raise ValueError(
                f"{self.quantity} of amplifier {self.amplifier} is {self.value}: record finite values only"
            )


@dataclass(frozen=True, slots=True)
class NewMaster:
    """A master that has been written.

    Parameters
    ----------
    kind : str
        ``bias``, ``dark``, ``flat`` or ``mask``.
    filter : str or None
        Of a flat.
    path : str
        Relative to the home.
    sha256 : str
        Of the file.
    unit : str
        ``adu``, ``adu/s``, or empty for a flat and a mask.
    n_combined, n_excluded : int
        Frames used and left out.
    verdict : str
        ``ok``, ``suspect``, ``bad`` or ``unjudged``.
    valid_from : datetime
        DATE-OBS of its first input.
    statistics : mapping
        Plain JSON values.
    remark : str or None
        What is odd about it.
    """

    kind: str
    filter: str | None
    path: str
    sha256: str
    unit: str
    n_combined: int
    n_excluded: int
    verdict: Verdict
    valid_from: datetime
    statistics: Mapping[str, Any] = field(default_factory=dict)
    remark: str | None = None
