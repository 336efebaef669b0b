"""What is current: results of runs that no newer one took the place of, or of the last before it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from ccdcore.quantities import QUANTITIES, Product, is_of_darks
from db.schema.models import CalibrationSet, Frame, Instrument, Lack, Master, Measurement, Outcome, Run

CURRENT_RUN = and_(Run.outcome == Outcome.DONE, Run.superseded_by_id.is_(None))
"""What a run fulfils whose results are current."""

_STEP: Product = "gain and read noise"
_MASK: Product = "bad pixels"
"""The product that the mask is made in, too."""


_OF_DARKS = "master dark"
"""What darks of all exposures are called, and those of which the rate and the dark current are made."""


def product_name(
    kind: str,
    filter_name: str | None = None,
    *,
    exposure_s: float | None = None,
    temperature_c: float | None = None,
) -> str:
    """Return what a master is called, made or not: of a dark with its exposure, and what else tells it from others."""
    words = [f"master {kind}", filter_name]
    words += [None if exposure_s is None else f"{exposure_s:.4g} s"]
    words += [None if temperature_c is None else f"{temperature_c:g} °C"]
    return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class _Product:
    """A master or a measurement on record."""

    id: int
    run_id: int
    purpose: tuple[str | None, ...]
    """What it has in common with what another run made in its place."""
    names: tuple[str, ...]
    """What it is called where it is not made, if only as one of its kind; the most exact in front."""


@dataclass(slots=True)
class _Made:
    """What a run made, and what it did not: its product, and whether it failed."""

    products: list[_Product] = field(default_factory=list)
    purposes: set[tuple[str | None, ...]] = field(default_factory=set)
    lacks: dict[str, bool] = field(default_factory=dict)

    def failed_in(self, one: _Product) -> bool:
        """Whether it failed to make this, and did not find that its frames do not give it."""
        is_without_reason = self.lacks.get(one.names[0]) is not False
        return one.purpose not in self.purposes and is_without_reason and any(map(self.lacks.get, one.names))


_Reader = Callable[[Session, Iterable[ColumnElement[bool]]], Iterable[_Product]]


def kept_masters(session: Session) -> set[int]:
    """Return the ids of the masters that stay current though a newer run took the place of theirs: it failed in them.

    Each is the last one of its name that was made of its set. None is kept from before the meaning of a frame
    changed: it may be of frames that were taken for something else. Nor is one that a newer run did not make for a
    reason of its frames.
    """
    return _kept(session, _masters)


def kept_measurements(session: Session) -> set[int]:
    """Return the ids of such measurements, each the last of its set, quantity, amplifier and filter; as masters."""
    return _kept(session, _measurements)


def is_current(session: Session) -> ColumnElement[bool]:
    """Return what current measurements fulfil, where they are joined with their runs."""
    kept = kept_measurements(session)
    return or_(CURRENT_RUN, Measurement.id.in_(kept)) if kept else CURRENT_RUN


def _kept(session: Session, read: _Reader) -> set[int]:
    failing = select(Lack.run_id).where(Lack.is_failure)
    in_part = CURRENT_RUN, Run.message.is_not(None)
    sets = list(session.scalars(select(Run.calibration_set_id).where(*in_part, Run.id.in_(failing))))
    return {one.id for set_id in sets for one in _last_made(session, set_id, read)}


def _last_made(session: Session, set_id: int, read: _Reader) -> list[_Product]:
    """Return the superseded products of a set that every newer run of it failed to make."""
    was_retired = Run.superseded_by_id == Run.id
    done = [Run.calibration_set_id == set_id, Run.outcome == Outcome.DONE, ~func.coalesce(was_retired, False)]
    if since := _changed_at(session, set_id):
        done.append(Run.began_at >= since)
    runs = {run_id: _Made() for run_id in session.scalars(select(Run.id).where(*done))}
    for one in read(session, done):
        runs[one.run_id].products.append(one)
        runs[one.run_id].purposes.add(one.purpose)
    for lack in session.scalars(select(Lack).join(Run, Lack.run_id == Run.id).where(*done)):
        runs[lack.run_id].lacks[lack.product] = lack.is_failure
        if lack.is_failure and lack.product.startswith(_OF_DARKS):  # one that failed costs their rate, too
            runs[lack.run_id].lacks[_OF_DARKS] = True
    newer: list[_Made] = []
    found: list[_Product] = []
    for _, made in sorted(runs.items(), reverse=True):
        if newer:
            found += [one for one in made.products if all(run.failed_in(one) for run in newer)]
        newer.append(made)
    return found


def _masters(session: Session, done: Iterable[ColumnElement[bool]]) -> Iterable[_Product]:
    columns = Master.id, Master.run_id, Master.kind, Master.product
    query = select(*columns).join(Run, Master.run_id == Run.id)
    for key, run_id, kind, product in session.execute(query.where(*done)):
        names: tuple[str, ...] = (product, product_name(kind)) if kind != "mask" else (_MASK,)
        names += (_OF_DARKS,) if kind == "darkrate" else ()
        yield _Product(key, run_id, (kind, product), names)


def _measurements(session: Session, done: Iterable[ColumnElement[bool]]) -> Iterable[_Product]:
    columns = Measurement.quantity, Measurement.amplifier, Measurement.filter
    query = select(Measurement.id, Measurement.run_id, *columns).join(Run, Measurement.run_id == Run.id)
    for key, run_id, quantity, amplifier, filter_name in session.execute(query.where(*done)):
        yield _Product(key, run_id, (quantity, amplifier, filter_name), _names_of(quantity, amplifier))


def _names_of(quantity: str, amplifier: str) -> tuple[str, ...]:
    """Return the products, as `flows` names them, that a quantity is measured in: the whole step in front."""
    product = QUANTITIES[quantity].product if quantity in QUANTITIES else _STEP
    if product == _MASK:
        return (_MASK,)
    parts: tuple[str, ...] = (product,) if product != _STEP else ("gain", "read noise")
    parts += (_OF_DARKS,) if is_of_darks(quantity) else ()
    return _STEP, *parts, f"{product} of amplifier {amplifier}"


def _changed_at(session: Session, set_id: int) -> datetime | None:
    """Return when a frame of a set was last taken for something else, or its entry was edited; None for never."""
    corrected = session.scalar(select(CalibrationSet.changed_at).where(CalibrationSet.id == set_id))
    entries = select(func.max(Instrument.recorded_at)).join(Frame, Frame.instrument_id == Instrument.id)
    edited = session.scalar(entries.where(Frame.calibration_set_id == set_id))
    return max((at for at in (corrected, edited) if at is not None), default=None)
