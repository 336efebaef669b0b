"""Writing what was found: instruments and frames, runs, and their results with provenance.

A session comes in and the caller owns the transaction; times come in too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, and_, delete, or_, select, true, update

from ccdcore.instrument import FrameType, Instrument
from db import models
from db.comparable import in_its_configuration
from db.lacks import failures_in_words
from db.models import Outcome
from db.rows import plain, readable
from db.statements import insert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.geometry import Amplifier
    from ccdcore.header import ExposureInfo
    from ccdcore.statistics import FrameStatistics
    from db.results import NewMaster, NewMeasurement, RunInput

PROCESS_GONE = "the process that worked on it is gone"
LONGEST_REMARK = 600
"""Characters: the remark is in an index, and PostgreSQL takes no entry of an index above 2.7 kB."""


def sync_instruments(session: Session, instruments: Sequence[Instrument], *, now: datetime) -> None:
    """Store the entries in force and their limits.

    A changed entry is a new version. Older versions are judged by the limits of
    the entry that replaced them: the one of the same name whose span of validity meets theirs.
    """
    for entry in instruments:
        values = _entry_values(entry, now=now)
        statement = insert(session, models.Instrument).values(values)
        session.execute(
            statement.on_conflict_do_update(index_elements=["name", "digest"], set_={"spec": values["spec"]})
        )
    for entry in instruments:
        _judge_older_versions(session, entry, in_force=[one.digest for one in instruments])


def _judge_older_versions(session: Session, entry: Instrument, *, in_force: list[str]) -> None:
    table = models.Instrument
    spans_meet = and_(
        true() if entry.valid_to is None else or_(table.valid_from.is_(None), table.valid_from < entry.valid_to),
        true() if entry.valid_from is None else or_(table.valid_to.is_(None), table.valid_to > entry.valid_from),
    )
    session.execute(
        update(table)
        .where(table.name == entry.name, table.digest.not_in(in_force), spans_meet)
        .values(spec=_spec(entry))
        .execution_options(synchronize_session=False)
    )


def _entry_values(entry: Instrument, *, now: datetime) -> dict[str, Any]:
    return {
        "name": entry.name,
        "digest": entry.digest,
        "entry": entry.describe(),
        "spec": _spec(entry),
        "valid_from": entry.valid_from,
        "valid_to": entry.valid_to,
        "recorded_at": now,
    }


def _spec(entry: Instrument) -> dict[str, Any]:
    return {quantity: asdict(limits) for quantity, limits in entry.spec.items()}


def register_frame(
    session: Session,
    *,
    sha256: str,
    shape: tuple[int, int],
    info: ExposureInfo,
    amplifiers: Iterable[Amplifier],
    statistics: Iterable[FrameStatistics],
    instrument: Instrument | None,
    night: date | None,
    window_first_night: date | None,
    window_nights: int,
    identified_with: str,
    joined_at: datetime,
    now: datetime,
    former_sha256: str | None = None,
) -> int:
    """Record a frame and put it into its calibration set; return its id.

    The same frame again changes nothing, unless other rules identified it: then
    it becomes what they say, and moves to the set that follows from it.

    Parameters
    ----------
    instrument : Instrument or None
        The entry that matched; None where none did.
    night, window_first_night : date or None
        Its night and the first of its window; None where the date is not known, which leaves it without a set.
    identified_with : str
        Digest of the identification rules in force.
    joined_at : datetime
        When its file arrived.
    former_sha256 : str or None
        What earlier versions knew it by; a frame on record by that is known by ``sha256`` from now on.
    """
    _know_by(session, sha256, former_sha256)
    in_set = info.frame_type is not FrameType.OTHER and window_first_night is not None
    if in_set and window_first_night is not None:
        info = in_its_configuration(session, info, window_first_night=window_first_night, window_nights=window_nights)
    identified = {
        "rows": shape[0],
        "columns": shape[1],
        **{name: _column(getattr(info, name)) for name in info.__dataclass_fields__},
        "amplifiers": [
            {"name": a.name, "data": str(a.data), "overscan": a.overscan and str(a.overscan)} for a in amplifiers
        ],
        "statistics": [plain(asdict(one)) for one in statistics],
        "night": night,
        "calibration_set_id": _set_id(
            session,
            instrument=info.instrument,
            configuration=info.configuration,
            window_first_night=window_first_night,
            window_nights=window_nights,
        )
        if in_set
        else None,
        "instrument_id": _instrument_id(session, name=info.instrument, entry=instrument, now=now),
        "identified_with": identified_with,
    }
    frame = models.Frame
    values = {**identified, "sha256": sha256, "joined_at": joined_at, "registered_at": now}
    session.execute(
        insert(session, frame)
        .values(values)
        .on_conflict_do_update(
            index_elements=["sha256"], set_=identified, where=frame.identified_with != identified_with
        )
    )
    return session.scalars(select(frame.id).where(frame.sha256 == sha256)).one()


def _know_by(session: Session, sha256: str, former_sha256: str | None) -> None:
    frame = models.Frame
    if former_sha256 in {None, sha256}:
        return
    is_known = select(frame.id).where(frame.sha256 == sha256).exists()
    session.execute(
        update(frame)
        .where(frame.sha256 == former_sha256, ~is_known)
        .values(sha256=sha256)
        .execution_options(synchronize_session=False)
    )


def _column(value: Any) -> Any:
    """Return ``value`` as a column takes it: databases differ on NaN, and text may quote a file name of any bytes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return readable(value) if isinstance(value, str) else value


def _set_id(session: Session, **key: object) -> int:
    table = models.CalibrationSet
    session.execute(insert(session, table).values(key).on_conflict_do_nothing())
    return session.scalars(select(table.id).filter_by(**key)).one()


def _instrument_id(session: Session, *, name: str, entry: Instrument | None, now: datetime) -> int:
    table = models.Instrument
    values = (
        {"name": name, "digest": "", "entry": {}, "spec": {}, "recorded_at": now}
        if entry is None
        else _entry_values(entry, now=now)
    )
    session.execute(insert(session, table).values(values).on_conflict_do_nothing())
    return session.scalars(select(table.id).filter_by(name=values["name"], digest=values["digest"])).one()


def claim_run(
    session: Session,
    *,
    set_id: int,
    digest: str,
    attempt: int,
    engine: Literal["prefect", "local"],
    flow_run_id: str | None,
    recipes: Mapping[str, Any],
    software: Mapping[str, Any],
    host: str,
    pid: int,
    pid_started: float,
    now: datetime,
) -> int | None:
    """Begin a run; return its id, or None where this (set, digest, attempt) has been claimed before.

    Parameters
    ----------
    pid_started : float
        Start of the process in seconds since 1970 (`psutil.Process.create_time`).
    """
    statement = insert(session, models.Run).values(
        calibration_set_id=set_id,
        digest=digest,
        attempt=attempt,
        engine=engine,
        flow_run_id=flow_run_id,
        recipes=dict(recipes),
        software=dict(software),
        host=host,
        pid=pid,
        pid_started=pid_started,
        began_at=now,
    )
    return session.scalar(statement.on_conflict_do_nothing().returning(models.Run.id))


def record_inputs(session: Session, *, run_id: int, inputs: Sequence[RunInput]) -> None:
    """Record what a run used and what it left out.

    Raises
    ------
    LookupError
        If a frame has not been registered.
    """
    frame, file = models.Frame, models.File
    wanted = {one.sha256 for one in inputs if one.sha256 is not None}
    frame_ids = dict(session.execute(select(frame.sha256, frame.id).where(frame.sha256.in_(wanted))).all())
    if missing := wanted - frame_ids.keys():
        raise LookupError(f"frame {min(missing)} is not on record: register it before a run uses it")
    files = session.execute(
        select(file.frame_id, file.root, file.relative_path, file.file_sha256).where(
            file.frame_id.in_(frame_ids.values())
        )
    )
    hashes = {(frame_id, str(Path(root) / below)): file_sha256 for frame_id, root, below, file_sha256 in files}
    for one in inputs:
        frame_id = frame_ids.get(one.sha256 or "")
        session.add(
            models.RunInput(
                run_id=run_id,
                frame_id=frame_id,
                master_id=one.master_id,
                role=one.role,
                excluded=_column(one.excluded),
                borrowed=one.borrowed,
                path=one.path,
                file_sha256=hashes.get((frame_id, one.path or "")),
            )
        )
    session.flush()


def record_measurements(session: Session, *, run_id: int, measurements: Sequence[NewMeasurement]) -> list[int]:
    """Record the values a run measured; return their ids, in order.

    They are tied to the version of the instrument's entry that the set's frames were read with.
    """
    frame, run = models.Frame, models.Run
    entry_version = (
        select(frame.instrument_id)
        .join(run, run.calibration_set_id == frame.calibration_set_id)
        .where(run.id == run_id)
        .order_by(frame.id.desc())
        .limit(1)
    )
    instrument_id = session.scalars(entry_version).one()
    rows = []
    for one in measurements:
        fields = {name: _column(getattr(one, name)) for name in one.__dataclass_fields__}
        fields["details"] = plain(one.details)
        fields["remark"] = fields["remark"] and fields["remark"][:LONGEST_REMARK]
        fields |= {name: one.details.get(name) for name in ("n_bias", "n_flat", "n_flat_pairs")}
        rows.append(models.Measurement(run_id=run_id, instrument_id=instrument_id, **fields))
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def record_master(session: Session, *, run_id: int, master: NewMaster) -> int:
    """Record a master that a run has written; return its id."""
    fields = {name: getattr(master, name) for name in master.__dataclass_fields__}
    fields |= {"statistics": plain(master.statistics), "remark": _column(master.remark)}
    row = models.Master(run_id=run_id, **fields)
    session.add(row)
    session.flush()
    return row.id


def finish_run(session: Session, *, run_id: int, now: datetime) -> bool:
    """Show a run's results to users, in place of those of older runs of its set.

    A run that a newer one has overtaken is superseded by it from the start. Results of a set that has lost all
    its frames, because other rules identified them anew, give way to those of the set that took some of them in.

    Returns
    -------
    bool
        False where the run had ended already, and nothing was changed.
    """
    run, sets = models.Run, models.CalibrationSet
    # Two runs of one set that end at the same time must see each other.
    of_run = select(sets.id).join(run, run.calibration_set_id == sets.id).where(run.id == run_id)
    set_id = session.scalars(of_run.with_for_update(of=sets)).one()
    if not _end(session, run_id=run_id, outcome=Outcome.DONE, message=failures_in_words(session, run_id), now=now):
        return False
    done = select(run.id).where(run.calibration_set_id == set_id, run.outcome == Outcome.DONE)
    newest = session.scalars(done.order_by(run.id.desc()).limit(1)).one()
    of_set = or_(run.calibration_set_id == set_id, _moved_to(set_id))
    older = run.outcome == Outcome.DONE, run.superseded_by_id.is_(None), run.id < newest, of_set
    session.execute(
        update(run).where(*older).values(superseded_by_id=newest).execution_options(synchronize_session=False)
    )
    return True


def _moved_to(set_id: int) -> ColumnElement[bool]:
    """Whether a run is one of a set without frames, and used some that are now in the set ``set_id``."""
    run, used, frame = models.Run, models.RunInput, models.Frame
    left = select(frame.id).where(frame.calibration_set_id == run.calibration_set_id)
    moved = (
        select(used.id)
        .join(frame, used.frame_id == frame.id)
        .where(used.run_id == run.id, used.borrowed.is_(False), frame.calibration_set_id == set_id)
    )
    return and_(~left.exists(), moved.exists())


def fail_run(session: Session, *, run_id: int, message: str, now: datetime) -> bool:
    """End a run that could not do its work; return False where it had ended already."""
    return _end(session, run_id=run_id, outcome=Outcome.FAILED, message=message, now=now)


def abandon_run(
    session: Session,
    *,
    run_id: int,
    now: datetime,
    cancelled: str | None = None,
    why: str = PROCESS_GONE,
) -> bool:
    """End a run cut short by no fault of its own, and forget what it measured; return False where it had ended already.

    What it says of its masters stays, unseen, as long as their files do: by it they are known to be its own.

    Parameters
    ----------
    cancelled : str or None
        Where somebody ended it on purpose, so that it is not made again: a message that says so.
    why : str
        What cut it short, else.
    """
    outcome = Outcome.ABANDONED if cancelled is None else Outcome.CANCELLED
    if not _end(session, run_id=run_id, outcome=outcome, message=cancelled or why, now=now):
        return False
    for unfinished in (models.Measurement, models.Lack):
        session.execute(delete(unfinished).where(unfinished.run_id == run_id))
    return True


def forget_master(session: Session, master_id: int) -> None:
    """Take a master off the record that never was shown, and that has no file any more."""
    session.execute(delete(models.Master).where(models.Master.id == master_id))


def _end(session: Session, *, run_id: int, outcome: Outcome, message: str | None, now: datetime) -> bool:
    run = models.Run
    ended = (
        update(run)
        .where(run.id == run_id, run.outcome.is_(None))
        .values(outcome=outcome, message=_column(message), ended_at=now)
        .returning(run.id)
    )
    return session.scalar(ended) is not None
