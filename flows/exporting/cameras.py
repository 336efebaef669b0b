"""The cameras that have masters in force, and what is to be known of these before another program gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.frames.groups import distance_k
from db.champions import current_reference
from db.runs.masters import MasterOnRecord
from db.runs.sets import instruments_on_record
from flows.applying.calibrating.masters import require_as_on_record
from flows.home.processes import now
from flows.products.references import places_of
from flows.runs.run import Run

if TYPE_CHECKING:
    from flows.home.home import Home

_ORDER = "bias", "dark", "darkrate", "flat"


@dataclass(frozen=True, slots=True)
class Camera:
    """The masters in force of a camera.

    Parameters
    ----------
    instrument : str
        Which it is.
    home : Path
        In which the files of its masters lie.
    masters : sequence of MasterOnRecord
        By kind, in the order in which a frame is corrected.
    names : mapping of int to str
        What each is called in ``reference/`` of the home, by its number; no two the same.
    overscan : frozenset of int
        Numbers of those whose frames had an overscan, which was subtracted.
    tolerance_k : float
        How far the temperatures of a bias and a dark may be apart, in kelvin.
    """

    instrument: str
    home: Path
    masters: Sequence[MasterOnRecord]
    names: Mapping[int, str]
    overscan: frozenset[int]
    tolerance_k: float
    _looked_at: set[int] = field(default_factory=set)

    def file(self, one: MasterOnRecord) -> Path:
        """Return the file of a master.

        Raises
        ------
        flows.applying.calibrating.masters.ChangedMasterError
            If it is not as on record.
        """
        path = self.home / one.path
        if one.master_id not in self._looked_at:
            require_as_on_record(path, one.sha256, one.master_id)
            self._looked_at.add(one.master_id)
        return path

    def bias_in(self, dark: MasterOnRecord) -> MasterOnRecord | None:
        """Return the bias that raw darks hold: of the same configuration, the nearest in temperature."""
        alike = [one for one in self.masters if one.kind == "bias" and one.configuration == dark.configuration]
        nearest = min(alike, key=lambda one: distance_k(one.group_c, dark.group_c), default=None)
        return nearest if nearest and distance_k(nearest.group_c, dark.group_c) <= self.tolerance_k else None


def cameras_of(home: Home, instrument: str | None) -> list[Camera]:
    """Return the cameras on record, by name, or one of them, with the masters that are in force."""
    with home.read_session() as session:
        on_record = instruments_on_record(session)
        current = current_reference(session, at=now())
        places = {one.master_id: place for place, one in places_of(current).items()}
    overscan = {one.master_id for one in current if _has_overscan(home, one)}
    current.sort(key=lambda one: (_ORDER.index(one.kind), places[one.master_id]))
    return [
        Camera(
            name,
            home.path,
            masters := [one for one in current if one.instrument == name],
            {one.master_id: places[one.master_id].stem for one in masters},
            frozenset(overscan),
            home.settings.recipes.bias.temperature_tolerance_k,
        )
        for name in sorted(on_record)
        if instrument in {None, name}
    ]


def _has_overscan(home: Home, one: MasterOnRecord) -> bool:
    frames = Run(home, one.run_id).inputs.frames
    return any(amplifier.overscan is not None for used in frames for amplifier in used.frame.amplifiers)
