"""Writing which instruments there are, and which frames: what each is, and the set that it belongs to.

A session comes in and the caller owns the transaction; times come in too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from ccdcore.headers.comparable import Sign, of_shape
from ccdcore.headers.instrument import FrameType, Instrument
from db.frames.comparable import in_its_configuration
from db.frames.entries import entry_values
from db.frames.revisions import amplifier_rows, comes_into_force, completed, said_of
from db.schema import models
from db.schema.rows import column_value, plain
from db.schema.upsert import insert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.cards.sections import Amplifier
    from ccdcore.frames.frame import FrameStatistics
    from ccdcore.headers.identify import ExposureInfo
    from db.frames.revisions import Source

# These are asked for each frame: what is put together once is several times as fast.
_ON_RECORD = (
    select(models.Frame).where(models.Frame.sha256 == bindparam("sha256")).execution_options(populate_existing=True)
)
_SET = select(models.CalibrationSet.id).filter_by(
    **{name: bindparam(name) for name in ("instrument", "configuration", "window_first_night", "window_nights")}
)
_ENTRY = select(models.Instrument.id).filter_by(name=bindparam("name"), digest=bindparam("digest"))


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
    source: Source | None = None,
) -> int:
    """Record a frame and put it into its calibration set; return its id.

    The same frame again changes nothing, unless other rules identified it, or the header of its file says
    something new (`db.frames.revisions`): then it becomes what that says, and moves to the set that follows from it.

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
    source : Source or None
        The file it was read from.
    """
    _know_by(session, sha256, former_sha256)
    frame = models.Frame
    if known := session.scalars(_ON_RECORD, {"sha256": sha256}).first():
        info = completed(session, known, info, source)
    settings = info.configuration
    in_set = info.frame_type is not FrameType.OTHER and window_first_night is not None
    if in_set and window_first_night is not None:
        info = in_its_configuration(
            session, info, shape=shape, window_first_night=window_first_night, window_nights=window_nights
        )
    identified = {
        "rows": shape[0],
        "columns": shape[1],
        **{name: column_value(getattr(info, name)) for name in info.__dataclass_fields__},
        "amplifiers": amplifier_rows(amplifiers),
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
    values = {**identified, "sha256": sha256, "joined_at": joined_at, "registered_at": now}
    created = session.scalar(insert(session, frame).on_conflict_do_nothing().returning(frame.id), values)
    if created is not None:
        return int(created)
    known = session.scalars(_ON_RECORD.with_for_update(), {"sha256": sha256}).one()
    said = said_of(identified)
    names = settings, Sign.of(info).configuration(settings)
    if known.configuration in {*names, *(of_shape(name, shape) for name in names)}:
        said["configuration"] = known.configuration  # which of them is a question of what else is on record
    if comes_into_force(
        session,
        known,
        said,
        source,
        identified_with=identified_with,
        set_id=identified["calibration_set_id"],
        now=now,
    ):
        for name, value in identified.items():
            setattr(known, name, value)
        session.flush()
    return known.id


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


def _set_id(session: Session, **key: object) -> int:
    if (found := session.scalar(_SET, key)) is None:
        session.execute(insert(session, models.CalibrationSet).values(key).on_conflict_do_nothing())
        found = session.scalars(_SET, key).one()
    return found


def _instrument_id(session: Session, *, name: str, entry: Instrument | None, now: datetime) -> int:
    table = models.Instrument
    values = (
        {"name": name, "digest": "", "entry": {}, "spec": {}, "recorded_at": now}
        if entry is None
        else entry_values(entry, now=now)
    )
    key = {"name": values["name"], "digest": values["digest"]}
    if (found := session.scalar(_ENTRY, key)) is None:
        session.execute(insert(session, table).values(values).on_conflict_do_nothing())
        found = session.scalars(_ENTRY, key).one()
    return found
