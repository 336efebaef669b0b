"""The run in the hand of its steps: what they ask of it more than once is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_cards
from ccdcore.reduction.overscan import believed_overscans
from db.runs.inputs import NewInput, UsedFrame, record_inputs, run_inputs
from db.runs.lacks import LackRow, record_lack, run_lacks
from db.runs.measurements import MeasurementRow, NewMeasurement, record_measurements, run_measurements
from db.runs.runs import RunRow, get_run
from flows.home.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from ccdcore.cards.values import Cards

_KEPT = 512
"""Headers of frames that are kept, each of some kilobytes."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The frames that a run used and left out, in order of observation, and remarks on all of them.

    Their overscan sections are those that their pixels do not contradict.
    """

    frames: tuple[UsedFrame, ...]
    remarks: tuple[str, ...]


class Run:
    """An open run: one for all of its steps, or one for each where they are done by several processes.

    Parameters
    ----------
    home : Home
        The open home.
    id : int
        The run's id.
    is_drawn : bool
        Whether its pictures are drawn with it; else they wait until somebody looks at them.
    """

    def __init__(self, home: Home, id: int, *, is_drawn: bool = True) -> None:  # noqa: A002 - as every row calls it
        self.home = home
        self.id = id
        self.is_drawn = is_drawn
        self._cards = lru_cache(_KEPT)(read_cards)

    @cached_property
    def row(self) -> RunRow:
        """Its set, instrument, configuration, night and digest, which never change, from the record."""
        with self.home.read_session() as session:
            return get_run(session, self.id)

    @cached_property
    def inputs(self) -> Inputs:
        """What it works on, until more of that is put on record."""
        with self.home.read_session() as session:
            recorded = run_inputs(session, self.id)
        frames, remarks = believed_overscans([one.frame for one in recorded])
        return Inputs(tuple(replace(one, frame=frame) for one, frame in zip(recorded, frames, strict=True)), remarks)

    @cached_property
    def measured(self) -> list[MeasurementRow]:
        """What was measured of it so far."""
        with self.home.read_session() as session:
            return run_measurements(session, self.id)

    @cached_property
    def failures(self) -> list[LackRow]:
        """Its products that failed so far."""
        with self.home.read_session() as session:
            return [lack for lack in run_lacks(session, self.id) if lack.is_failure]

    def put_inputs(self, inputs: Sequence[NewInput]) -> None:
        """Put on record what it uses, or leaves out of all or of a product."""
        with self.home.write_session() as session:
            record_inputs(session, run_id=self.id, inputs=inputs)
        self.__dict__.pop("inputs", None)

    def put_measurements(self, rows: Sequence[NewMeasurement]) -> list[int]:
        """Put on record what was measured, and return the ids of that."""
        with self.home.write_session() as session:
            ids = record_measurements(session, run_id=self.id, measurements=rows)
        self.__dict__.pop("measured", None)
        return ids

    def put_lack(self, product: str, reason: str, *, is_failure: bool) -> None:
        """Put on record that a product is not made, and why."""
        with self.home.write_session() as session:
            record_lack(session, run_id=self.id, product=product, reason=reason, is_failure=is_failure)
        self.__dict__.pop("failures", None)

    def used(self, kind: FrameType, *, borrowed: bool = True) -> list[SeriesFrame]:
        """Return the frames that it uses as some type, those of other windows among them unless told otherwise."""
        used = [one for one in self.inputs.frames if one.role == kind and one.excluded is None]
        return [one.frame for one in used if borrowed or not one.borrowed]

    def cards(self, path: Path) -> Cards:
        """Return the cards of a frame's file, which is verified before it is first read and when the run is released.

        Raises
        ------
        FrameReadError
            As `ccdcore.io.read.read_cards`.
        """
        return self._cards(path)
