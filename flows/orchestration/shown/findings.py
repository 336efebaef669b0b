"""What a step of a run found, in words for the log of its task, and the name of the state that Prefect shows it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prefect import State
from prefect.states import Completed

from ccdcore.headers.instrument import FrameType
from ccdcore.quantities import label_of
from ccdcore.text import number_of, one_line, unit_text, with_systematic
from db.runs.current import product_name
from db.runs.inputs import UsedFrame, run_inputs
from db.runs.lacks import LackRow, run_lacks
from db.runs.masters import MasterRow, run_masters
from db.runs.measurements import MeasurementRow, by_amplifier, run_measurements
from flows.calibration.results import verdicts_of
from flows.home.home import Home
from flows.runs.lacks import FOR

Row = TypeVar("Row", MeasurementRow, MasterRow, LackRow)

_TOLD = "gain", "read_noise", "read_noise_adu", "bad_pixels"
_MOST_LINES = 12


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What is on record of a run at a moment."""

    inputs: Sequence[UsedFrame]
    measured: Sequence[MeasurementRow]
    masters: Sequence[MasterRow]
    lacks: Sequence[LackRow]
    verdicts: Mapping[str, str]
    """On what was measured, by amplifier."""

    @classmethod
    def of(cls, home: Home, run_id: int) -> OnRecord:
        """Ask for it."""
        with home.read_session() as session:
            return cls(
                run_inputs(session, run_id),
                run_measurements(session, run_id),
                run_masters(session, run_id),
                run_lacks(session, run_id),
                verdicts_of(session, run_id),
            )

    def since(self, before: OnRecord) -> OnRecord:
        """Return what was not there before."""
        known = {(one.frame.sha256, one.role) for one in before.inputs}
        measured = _new(self.measured, before.measured)
        amplifiers = {row.amplifier for row in measured}
        return OnRecord(
            [one for one in self.inputs if (one.frame.sha256, one.role) not in known],
            measured,
            _new(self.masters, before.masters),
            _new(self.lacks, before.lacks),
            {name: verdict for name, verdict in self.verdicts.items() if name in amplifiers},
        )

    @property
    def lines(self) -> list[str]:
        """What was found, for people."""
        lines = [*self._used(), *self._measured(), *map(_of_master, self.masters), *self._not_made(), *self._left_out()]
        more = len(lines) - _MOST_LINES
        return [*map(one_line, lines[:_MOST_LINES]), *([f"and {more} more: see the report"] if more > 0 else [])]

    def state(self, *, is_product: bool = False) -> State[None]:
        """Return the state to show: named for the worst verdict, or skipped where a product was not made."""
        verdicts = {*self.verdicts.values(), *(row.verdict for row in self.masters)}
        name = next((worst.capitalize() for worst in ("bad", "suspect") if worst in verdicts), "Completed")
        message = "; ".join(self.lines) or None
        if is_product and not self.measured and not self.masters:
            name, message = "Skipped", message or "there are no frames for it in this set"
        return Completed(name=name, message=message)

    def _used(self) -> list[str]:
        used = Counter(one.role for one in self.inputs if one.role in set(FrameType) and not one.excluded)
        return [", ".join(_frames(n, role) for role, n in used.items())] if used else []

    def _measured(self) -> Iterable[str]:
        for amplifier, of in by_amplifier(self.measured).items():
            told = [name for name in _TOLD if name in of and not (name == "read_noise_adu" and "read_noise" in of)]
            if told:
                values = ", ".join(_value(of[name]) for name in told)
                verdict = self.verdicts.get(amplifier, "unjudged")
                yield f"amplifier {amplifier}: {values}" + (f": {verdict}" if verdict != "unjudged" else "")

    def _not_made(self) -> Iterable[str]:
        for lack in self.lacks:
            yield f"{lack.product} {'failed' if lack.is_failure else 'not made'}: {lack.reason}"

    def _left_out(self) -> Iterable[str]:
        told = {f"{FOR}{lack.product}" for lack in self.lacks}
        out = Counter((one.role, one.excluded) for one in self.inputs if one.excluded and one.role not in told)
        for (role, reason), n in out.items():
            if role.startswith(FOR):
                yield f"{number_of(n, 'frame')} left out {role}: {reason}"
            else:
                yield f"{_frames(n, role)} left out: {reason}"


def _new(rows: Sequence[Row], before: Sequence[Row]) -> list[Row]:
    known = {row.id for row in before}
    return [row for row in rows if row.id not in known]


def _value(row: MeasurementRow) -> str:
    label, unit = label_of(row.quantity), unit_text(row.unit)
    value = with_systematic(row.value, row.uncertainty, row.details.get("systematic_uncertainty"))
    return f"{label} {value}" + (f" {unit}" if unit and unit not in label else "")


def _frames(n: int, kind: str) -> str:
    return f"{n} biases" if kind == FrameType.BIAS and n != 1 else number_of(n, kind)


def _of_master(row: MasterRow) -> str:
    if row.kind == "mask":
        return f"mask of bad pixels: {row.verdict}"
    made_of = number_of(row.n_combined, "frame") + (f", {row.n_excluded} left out" if row.n_excluded else "")
    remark = f" ({row.remark})" if row.remark else ""
    return f"{product_name(row.kind, row.filter)} of {made_of}: {row.verdict}{remark}"
