"""`best`: which masters suit frames that are named, on record or not; nothing is put on record of the frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcore.association.choice import Answer
from ccdcore.association.facts import KINDS, Kind, Subject
from ccdcore.errors import CcdError
from ccdcore.io.read import measure_frame
from db.association.best import best
from db.association.rows import answer_row
from db.association.subjects import subject_of, subjects_on_record
from db.errors import UnknownIdError
from db.files.ledger import files_named
from db.frames.finding import frame_of_hash
from db.identifiers import find
from flows.home.home import Home
from flows.products.figures import complete_figures

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]


@dataclass(slots=True)
class Answers:
    """Which masters suit frames, in the order in which these were named; of the others why they cannot be read."""

    kinds: Sequence[Kind]
    answers: list[Answer] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every frame could be read, and has what was asked for; a mask only where it alone was."""
        wanted = set(self.kinds or KINDS[:-1])
        return not self.failed and not any(one.kind in wanted for answer in self.answers for one in answer.missing)

    def as_dicts(self, home: Path) -> list[Row]:
        """Return them as JSON has them; the paths of masters lie in the ``home``."""
        return [answer_row(one, home) for one in self.answers]


def answers_of(
    home: Home,
    names: Sequence[str],
    *,
    kinds: Sequence[Kind] = (),
    at: datetime | None = None,
    progress: Progress = lambda *_: None,
) -> Answers:
    """Return which masters suit frames.

    Parameters
    ----------
    home : Home
        The open home.
    names : sequence of str
        Paths of files, and ids of frames on record (``frame:7``).
    kinds : sequence of str
        What the frames are to be corrected for; none for all.
    at : datetime or None
        As if they were taken then; None for when they were.
    """
    found, subjects = Answers(kinds), []
    for number, name in enumerate(names):
        progress("reading frames", number, len(names))
        try:
            subject = _subject(home, name)
        except (CcdError, UnknownIdError) as error:
            found.failed[name] = str(error)
        else:
            subjects.append(subject if at is None else replace(subject, at=at))
    complete_figures(home, instruments={one.instrument for one in subjects}, progress=progress)
    with home.read_session() as session:
        found.answers = best(
            session,
            subjects,
            recipes=home.settings.recipes,
            kinds=kinds or KINDS,
            limits=home.settings.science.quality,
        )
    return found


def _subject(home: Home, name: str) -> Subject:
    """Return a frame by its path or id.

    Raises
    ------
    CcdError, UnknownIdError
        If it cannot be read; if it is neither a file nor on record.
    """
    path = Path(name)
    with home.read_session() as session:
        if not path.is_file():
            return _on_record(session, _frame_id(session, name), name)
        if (key := _unchanged(session, home, path)) is not None:
            return _on_record(session, key, name)
        measured = measure_frame(path, instruments=home.settings.instruments)
        if (key := frame_of_hash(session, measured.sha256)) is not None:
            return _on_record(session, key, name)
        return subject_of(session, name, measured, night=home.settings.nights.night_of(measured.info))


def _frame_id(session: Session, name: str) -> int:
    try:
        kind, key = find(session, name)
    except UnknownIdError as error:
        raise UnknownIdError(f"neither a file nor on record: {error}") from None
    if kind != "frame":
        raise UnknownIdError(f"{name} is no frame: write the path of one, or frame:7")
    return key


def _on_record(session: Session, key: int, name: str) -> Subject:
    return replace(subjects_on_record(session, [key])[key], name=name)


def _unchanged(session: Session, home: Home, path: Path) -> int | None:
    """Return the frame that a file is on record with, where it is as it was then."""
    status = path.stat()
    rows = files_named(session, [path.parent.resolve() / path.name], host=home.settings.host)
    same = (row for row in rows if (row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns))
    return next((row.frame_id for row in same), None)
