"""Instrument entries on record, and by which limits what older versions of them measured is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from db.schema import models
from db.schema.upsert import insert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.headers.instrument import Instrument


def sync_instruments(session: Session, instruments: Sequence[Instrument], *, now: datetime) -> None:
    """Store the entries in force and their limits; those that are in force no longer stay on record.

    A changed entry is a new version. Older versions are judged by the limits of
    the entry that replaced them: the one of the same name whose span of validity meets theirs, of several the one
    that holds at the time of their last frame.
    """
    for entry in instruments:
        values = entry_values(entry, now=now)
        statement = insert(session, models.Instrument).values(values)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["name", "digest"], set_={name: values[name] for name in ("spec", "in_force")}
            )
        )
    names, in_force = ({getattr(one, what) for one in instruments} for what in ("name", "digest"))
    table = models.Instrument
    session.execute(update(table).where(table.in_force, table.digest.not_in(in_force)).values(in_force=False))
    older = select(table.id, table.name, table.valid_from, table.valid_to)
    for row in session.execute(older.where(table.name.in_(names), table.digest.not_in(in_force))).all():
        newer = _in_place_of(session, row, instruments)
        if newer is not None:
            session.execute(update(table).where(table.id == row.id).values(spec=_spec(newer)))


def _in_place_of(session: Session, older: Any, instruments: Sequence[Instrument]) -> Instrument | None:
    """Return the entry that took the place of an older version; None where none did."""
    of_name = [one for one in instruments if one.name == older.name]
    meeting = [
        one
        for one in of_name
        if (one.valid_to is None or older.valid_from is None or older.valid_from < one.valid_to)
        and (one.valid_from is None or older.valid_to is None or older.valid_to > one.valid_from)
    ]
    if len(meeting) > 1:
        last = session.scalar(select(func.max(models.Frame.date_obs)).where(models.Frame.instrument_id == older.id))
        meeting = [one for one in meeting if one.is_valid_at(last)][:1] or meeting
    return meeting[-1] if meeting else None


def entries_with_frames(session: Session) -> set[str]:
    """Return the digests of the entries, of former versions too, that frames on record are of; "" of no entry."""
    table = models.Instrument
    return set(
        session.scalars(select(table.digest).join(models.Frame, models.Frame.instrument_id == table.id).distinct())
    )


def entry_values(entry: Instrument, *, now: datetime) -> dict[str, Any]:
    """Return an entry of the configuration as its table takes it."""
    return {
        "name": entry.name,
        "digest": entry.digest,
        "entry": entry.describe(),
        "spec": _spec(entry),
        "valid_from": entry.valid_from,
        "valid_to": entry.valid_to,
        "recorded_at": now,
        "in_force": True,
    }


def _spec(entry: Instrument) -> dict[str, Any]:
    return {quantity: asdict(limits) for quantity, limits in entry.spec.items()}
