"""Frames that were calibrated, and by which masters: written and read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import select, update

from ccdcore.application.ingredients import Readout
from ccdcore.association.facts import KINDS, Subject
from ccdcore.cards.sections import Section
from ccdcore.frames.groups import deciding_temperature
from db.association.subjects import subjects_on_record
from db.judgements.marks import marked_bad
from db.schema.calibrated import Calibrated
from db.schema.models import Frame
from db.schema.rows import Row, plain
from db.schema.upsert import batches

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.application.ingredients import Unit


@dataclass(frozen=True, slots=True)
class NewCalibrated:
    """A calibrated frame that is being written.

    Parameters
    ----------
    frame_id, frame_sha256 : int, str
        The raw frame.
    subject : Subject
        As the choice saw it.
    masters : mapping of str to int
        Kind → number of the master that was used.
    prices : mapping of str to float or None
        Kind → what that adds to the noise, in electrons per pixel.
    readout : mapping of str to Readout
        Gain and read noise that were used, by amplifier.
    unit : str
        Of its pixels.
    path, sha256 : str
        Its file, relative to the home if below it.
    software : mapping
        Name → version.
    engine, flow_run_id : str, str or None
        Who did it.
    """

    frame_id: int
    frame_sha256: str
    subject: Subject
    masters: Mapping[str, int]
    prices: Mapping[str, float | None]
    readout: Mapping[str, Readout]
    unit: str
    path: str
    sha256: str
    software: Mapping[str, str]
    engine: str = "local"
    flow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class CalibratedOnRecord(Row):
    """A calibrated frame that nothing has taken the place of: see `NewCalibrated`.

    Parameters
    ----------
    readout : mapping of str to Readout, or None
        None of what was calibrated before it was put on record.
    is_of_service : bool
        Whether the service made it by itself, and nobody asked for it.
    """

    calibrated_id: int
    frame_id: int
    frame_sha256: str
    masters: Mapping[str, int]
    prices: Mapping[str, float | None]
    readout: Mapping[str, Readout] | None
    unit: Unit
    path: str
    sha256: str
    made_at: datetime
    is_of_service: bool


def record_calibrated(session: Session, new: NewCalibrated, *, now: datetime) -> int:
    """Put a calibrated frame on record, in the place of what had its path; return its id."""
    held = Calibrated.path == new.path, Calibrated.superseded_at.is_(None)
    session.execute(update(Calibrated).where(*held).values(superseded_at=now))
    row = Calibrated(
        frame_id=new.frame_id,
        frame_sha256=new.frame_sha256,
        subject=plain(asdict(new.subject)),
        **{f"{kind}_id": new.masters.get(kind) for kind in KINDS},
        prices=plain(new.prices),
        readout={name: asdict(one) for name, one in new.readout.items()},
        unit=new.unit,
        path=new.path,
        sha256=new.sha256,
        software=dict(new.software),
        engine=new.engine,
        flow_run_id=new.flow_run_id,
        made_at=now,
    )
    session.add(row)
    session.flush()
    return row.id


def forget_calibrated(session: Session, calibrated_id: int) -> None:
    """Take a calibrated frame off the record whose file never got its name; what was there before stands again."""
    row = session.get_one(Calibrated, calibrated_id)
    before = Calibrated.path == row.path, Calibrated.superseded_at == row.made_at
    session.execute(update(Calibrated).where(*before).values(superseded_at=None))
    session.delete(row)


def calibrated_at(session: Session, path: str) -> CalibratedOnRecord | None:
    """Return what was written to a path last; None where nothing was."""
    query = select(Calibrated).where(Calibrated.path == path, Calibrated.superseded_at.is_(None))
    row = session.scalars(query.order_by(Calibrated.id.desc())).first()
    return None if row is None else _on_record(row)


def calibrated_frames(session: Session, frame_ids: Collection[int] | None = None) -> list[CalibratedOnRecord]:
    """Return what was made of these frames, or of all, and stands, in the order in which it was made."""
    query = select(Calibrated).where(Calibrated.superseded_at.is_(None)).order_by(Calibrated.id)
    if frame_ids is None:
        return [_on_record(row) for row in session.scalars(query)]
    parts = (session.scalars(query.where(Calibrated.frame_id.in_(ids))) for ids in batches(frame_ids))
    return sorted((_on_record(row) for part in parts for row in part), key=lambda one: one.calibrated_id)


def _on_record(row: Calibrated) -> CalibratedOnRecord:
    ids = {kind: getattr(row, f"{kind}_id") for kind in KINDS}
    return CalibratedOnRecord(
        calibrated_id=row.id,
        frame_id=row.frame_id,
        frame_sha256=row.frame_sha256,
        masters={kind: key for kind, key in ids.items() if key is not None},
        prices=row.prices,
        readout=None if row.readout is None else {name: Readout(**one) for name, one in row.readout.items()},
        unit=cast("Unit", row.unit),
        path=row.path,
        sha256=row.sha256,
        made_at=row.made_at,
        is_of_service=row.engine != "local",
    )


def calibrated_subjects(session: Session) -> list[tuple[CalibratedOnRecord, Subject]]:
    """Return all calibrated frames that stand, and what they were as the choice saw them.

    Those of raw frames that are marked bad are left out: nothing is to be made of them. Frames of which a header has
    said something else since are as they are on record now.
    """
    columns = Frame.instrument, Frame.date_obs, Frame.exposure_time_s, Frame.filter
    temperatures = Frame.ccd_temperature_c, Frame.set_temperature_c
    query = select(Calibrated, *columns, *temperatures).join(Frame, Calibrated.frame_id == Frame.id)
    found, stale = [], set()
    for row, camera, at, exposure_s, filter_name, ccd_c, set_c in session.execute(
        query.where(Calibrated.superseded_at.is_(None), Frame.id.not_in(marked_bad("frame"))).order_by(Calibrated.id)
    ):
        one, subject = _on_record(row), _subject_from(row.subject)
        found.append((one, subject))
        said = camera, at, exposure_s, filter_name, deciding_temperature(_Temperatures(ccd_c, set_c))
        seen = subject.instrument, subject.at, subject.exposure_s, subject.filter, subject.temperature_c
        if said != seen:
            stale.add(one.frame_id)
    fresh = subjects_on_record(session, stale)
    return [(one, fresh.get(one.frame_id, subject)) for one, subject in found]


class _Temperatures(NamedTuple):
    ccd_temperature_c: float | None
    set_temperature_c: float | None


def _subject_from(stored: Mapping[str, Any]) -> Subject:
    """Bring back a frame as the choice saw it; which entry of its instrument holds is to be looked up."""
    window, at, shape = (stored[name] for name in ("window", "at", "shape"))
    return Subject(
        **{
            **stored,
            "window": window and Section(**window),
            "at": at and datetime.fromisoformat(at),
            "shape": shape and tuple(shape),
            "entry": (None, None),
        }
    )
