"""Marks that hold: the newest word on a thing that was not taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import aliased

from db.schema.models import Frame, Judgement, Master, Measurement, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Markable = Literal["frame", "master", "measurement"]
"""What can be marked."""
Said = Literal["bad", "good"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark.

    Parameters
    ----------
    judgement_id : int
        Its line on record.
    said : str
        ``bad`` or ``good``.
    why, who, said_at : str, str, datetime
        In whose words, and when.
    """

    judgement_id: int
    said: Said
    why: str
    who: str
    said_at: datetime

    @property
    def is_bad(self) -> bool:
        """Whether what it is on is used for nothing."""
        return self.said == "bad"

    @property
    def reason(self) -> str:
        """All of it in words but for what was said."""
        return f"{self.why} ({self.who}, {self.said_at:%Y-%m-%d %H:%M} UTC)"

    @property
    def words(self) -> str:
        """All of it in words."""
        return f"marked {self.said} by {self.who} on {self.said_at:%Y-%m-%d %H:%M} UTC: {self.why}"


def told(mark: Mark | None) -> tuple[Said | None, str | None]:
    """Return what was said and the reason, as rows have them; None for both where nothing was."""
    return (None, None) if mark is None else (mark.said, mark.reason)


def marks(session: Session, kind: Markable, key: int | None = None) -> dict[int, Mark]:
    """Return the marks that hold, by the id of what they are on; those of one thing where its id is given.

    A mark of a master or a measurement holds as well for what other runs made of the same inputs: they give the same
    again.
    """
    query = _that_hold(kind)
    if key is not None:
        query = query.where(_last_words(kind).c.key == key)
    return {of: Mark(*rest) for of, *rest in session.execute(query)}


@cache
def _that_hold(kind: Markable) -> Any:
    """Return, as a query that is put together once, what each marked thing and its mark are."""
    last = _last_words(kind)
    columns = last.c.key, Judgement.id, Judgement.said, Judgement.words, Judgement.who, Judgement.said_at
    return select(*columns).select_from(Judgement).join(last, Judgement.id == last.c.judgement_id)


@cache
def marked_bad(kind: Markable) -> Select[tuple[int]]:
    """Return, as a query, the ids of what is marked bad: used for nothing, and in no trend."""
    last = _last_words(kind)
    return select(last.c.key).join(Judgement, Judgement.id == last.c.judgement_id).where(Judgement.said == "bad")


def lines_that_hold(kind: Markable) -> Select[tuple[int, int]]:
    """Return, as a query, the ids of what is marked and those of all marks that hold of it."""
    return _ON[kind]().where(Judgement.takes_back_id.is_(None), Judgement.id.not_in(_TAKEN_BACK))


_TAKEN_BACK = select(Judgement.takes_back_id).where(Judgement.takes_back_id.is_not(None))


@cache
def _last_words(kind: Markable) -> Any:
    lines = lines_that_hold(kind).subquery()
    key, judgement_id = lines.c
    return select(key.label("key"), func.max(judgement_id).label("judgement_id")).group_by(key).subquery()


def _of_frames() -> Select[tuple[int, int]]:
    return select(Frame.id, Judgement.id).join(Judgement, Judgement.frame_id == Frame.id)


def _of_masters() -> Select[tuple[int, int]]:
    marked, again = aliased(Master), aliased(Master)
    # A run may make several of a kind, of other frames each. What they are called hangs on what else is on record.
    same = (Master.kind, Master.filter, Master.exposure_s, Master.temperature_c, Master.valid_from)
    return _made_again(marked, again, Judgement.master_id, same)


def _of_measurements() -> Select[tuple[int, int]]:
    marked, again = aliased(Measurement), aliased(Measurement)
    same = (Measurement.quantity, Measurement.amplifier, Measurement.filter, Measurement.ccd_temperature_c)
    return _made_again(marked, again, Judgement.measurement_id, same)


def _made_again(marked: Any, again: Any, of: Any, same: tuple[Any, ...]) -> Select[tuple[int, int]]:
    """Return what runs on the same inputs made that has the same purpose, and what was said of any of it."""
    first, other = aliased(Run), aliased(Run)
    columns = [(getattr(marked, one.key), getattr(again, one.key)) for one in same]
    is_alike = and_(*(or_(one == its, and_(one.is_(None), its.is_(None))) for one, its in columns))
    return (
        select(again.id, Judgement.id)
        .join(marked, of == marked.id)
        .join(first, marked.run_id == first.id)
        .join(other, and_(other.calibration_set_id == first.calibration_set_id, other.digest == first.digest))
        .join(again, and_(again.run_id == other.id, is_alike))
    )


_ON: Mapping[Markable, Callable[[], Select[tuple[int, int]]]] = {
    "frame": _of_frames,
    "master": _of_masters,
    "measurement": _of_measurements,
}


def bad_frames(session: Session) -> dict[str, str]:
    """Return the frames that are marked bad, by their SHA-256, and why."""
    if not (found := {key: mark for key, mark in marks(session, "frame").items() if mark.is_bad}):
        return {}
    hashes = select(Frame.id, Frame.sha256).where(Frame.id.in_(marked_bad("frame")))
    return {sha256: found[key].words for key, sha256 in session.execute(hashes)}


def last_judged(session: Session) -> dict[int, datetime]:
    """Return when a frame of a set was last marked, or its mark taken back, by the set."""
    query = select(Frame.calibration_set_id, func.max(Judgement.said_at)).group_by(Frame.calibration_set_id)
    query = query.join(Judgement, Judgement.frame_id == Frame.id)
    return {key: at for key, at in session.execute(query) if key is not None}


def last_line(session: Session) -> int:
    """Return the id of the last line that anybody wrote; 0 where nobody has."""
    return session.scalar(select(func.max(Judgement.id))) or 0
