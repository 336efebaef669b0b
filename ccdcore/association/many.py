"""The choices of many frames at once: what is the same of all frames of a kind is reckoned once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.association.facts import KINDS, Detector, Kind, MasterFacts, Subject
from ccdcore.association.price import USUAL_SIGNAL_E, added_e, electrons_per_unit, kelvin_between
from ccdcore.association.rules import Tolerances, suits
from ccdcore.association.wander import Wander

Numbers = npt.NDArray[np.float64]

_SECONDS_PER_DAY = 86_400.0
_NO_MATTER: Mapping[Kind, Mapping[str, Any]] = {
    "bias": {"exposure_s": None, "filter": None},
    "dark": {"filter": None},
    "flat": {"exposure_s": None},
    "mask": {"exposure_s": None, "filter": None, "temperature_c": None},
}
"""What of a frame no rule and no price for masters of a kind asks about: frames may differ in it."""


def choose_many(
    subjects: Sequence[Subject],
    masters: Iterable[MasterFacts],
    *,
    detectors: Sequence[Detector],
    wander_of: Callable[[MasterFacts], Wander],
    tolerances: Tolerances,
) -> list[dict[Kind, int]]:
    """Return which masters suit frames best, as `ccdcore.association.choice.choose` does one by one.

    Parameters
    ----------
    subjects : sequence of Subject
        The frames.
    masters : iterable of MasterFacts
        All that are thought of, in any order.
    detectors : sequence of Detector
        Of each frame.
    wander_of : callable
        How far masters of the purpose of one wander.
    tolerances : Tolerances
        How far temperatures may be apart.

    Returns
    -------
    list of dict
        Kind → number of the master, of each frame; kinds that there is none of are left out.
    """
    of_kind: dict[Kind, list[MasterFacts]] = {kind: [] for kind in KINDS}
    for one in masters:
        of_kind[one.corrects].append(one)
    found: list[dict[Kind, int]] = [{} for _ in subjects]
    signal_e = np.full(len(subjects), USUAL_SIGNAL_E)
    for kind in KINDS:  # biases first: they tell the signal
        for same, numbers in _alike(subjects, kind).items():
            group = _Group.of(same, [subjects[one] for one in numbers], [detectors[one] for one in numbers])
            suited = [one for one in of_kind[kind] if suits(same, one, tolerances)]
            if kind == "bias":
                names = same.configuration, same.whole
                near = [one for one in of_kind[kind] if one.level is not None and one.configuration in names]
                signal_e[numbers] = group.signal_e([one for one in suited if one.level is not None] or near)
            if suited:
                for number, best in zip(numbers, group.best_of(suited, signal_e[numbers], wander_of), strict=True):
                    found[number][kind] = suited[best].master_id
    return found


def _alike(subjects: Sequence[Subject], kind: Kind) -> dict[Subject, list[int]]:
    """Return the positions of frames that the rules for masters of a kind cannot tell from each other."""
    found: dict[Subject, list[int]] = defaultdict(list)
    for number, subject in enumerate(subjects):
        found[replace(subject, name="", at=None, level_adu=None, lowest_adu=None, **_NO_MATTER[kind])].append(number)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Frames that the rules cannot tell from each other: arrays of shape (frames,)."""

    same: Subject
    at: Numbers
    gain: Numbers
    level_adu: Numbers
    lowest_adu: Numbers

    @classmethod
    def of(cls, same: Subject, subjects: Sequence[Subject], detectors: Sequence[Detector]) -> _Group:
        return cls(
            same,
            _column(None if one.at is None else one.at.timestamp() for one in subjects),
            _column(one.gain_e_per_adu or 1.0 for one in detectors),
            _column(one.level_adu for one in subjects),
            _column(one.lowest_adu for one in subjects),
        )

    def ages(self, masters: Sequence[MasterFacts]) -> Numbers:
        """Return how many days are between frames and masters, shape (frames, masters); 0 where nobody knows."""
        days = np.abs(self.at[:, None] - _column(one.at.timestamp() for one in masters)) / _SECONDS_PER_DAY
        return np.where(np.isnan(days), 0.0, days)

    def signal_e(self, biases: Sequence[MasterFacts]) -> Numbers:
        """Return the light of a normal pixel of each frame, in electrons, above the bias nearest in time."""
        dark = self.lowest_adu
        if biases:
            nearest = _first(self.ages(biases), _column(one.master_id for one in biases))
            dark = _column(one.level for one in biases)[nearest]
        signal = np.maximum(0.0, self.gain * (self.level_adu - dark))
        return np.where(np.isnan(signal), USUAL_SIGNAL_E, signal)

    def best_of(
        self, masters: Sequence[MasterFacts], signal_e: Numbers, wander_of: Callable[[MasterFacts], Wander]
    ) -> npt.NDArray[np.intp]:
        """Return the position of the best of some masters, of each frame: see `Candidate.rank`."""
        ages = self.ages(masters)
        total = np.column_stack(
            [self._total(*of, signal_e, wander_of(of[0])) for of in zip(masters, ages.T, strict=True)]
        )
        return _first(total, ages, _column(one.master_id for one in masters))

    def _total(self, master: MasterFacts, ages: Numbers, signal_e: Numbers, wander: Wander) -> Numbers:
        """Return what a master adds to each frame, in electrons."""
        if master.kind == "mask":
            return np.zeros_like(ages)
        if master.uncertainty is None:
            return np.full_like(ages, np.inf)
        electrons = electrons_per_unit(master.kind, self.gain, signal_e, self.same.exposure_s)
        random, shift, unscaled = added_e(master, electrons, ages, kelvin_between(self.same, master), wander)
        total: Numbers = np.hypot(random, np.hypot(shift, unscaled))
        return total


def _first(*ranks: Numbers) -> npt.NDArray[np.intp]:
    """Return the column whose ranks are least, by the first, of those that are even by the next, and so on."""
    shape = ranks[0].shape
    keys = [np.broadcast_to(one, shape) for one in reversed(ranks)]
    return np.asarray(np.lexsort(keys, axis=-1)[..., 0])


def _column(values: Iterable[Any]) -> Numbers:
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)
