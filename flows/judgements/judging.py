"""`mark` and `note`: put on record what a person says, and say what follows from it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast, get_args

from db.errors import UnknownIdError
from db.frames.listing import set_of_frame
from db.identifiers import find
from db.judgements import write
from db.judgements.marks import Markable, Said, marks
from db.runs.runs import latest_runs
from flows.config.errors import SettingsError
from flows.home.home import Home
from flows.home.processes import now
from flows.products.references import refresh_references
from flows.watching.heartbeat import read_heartbeat

MOST_CHARACTERS = 1000
"""Of what is said."""
_SILENT = timedelta(seconds=60)
"""A watcher that has said nothing for so long does nothing."""


def mark(home: Home, id_text: str, said: Said, *, why: str, who: str, undo: bool = False) -> str:
    """Mark a frame, a master or a measurement, or take the last such mark of it back; return what follows.

    Parameters
    ----------
    home : Home
        The open home.
    id_text : str
        As of `db.identifiers.find`.
    said : str
        ``bad`` or ``good``.
    why, who : str
        In whose words.
    undo : bool
        Whether it is to be taken back.

    Raises
    ------
    UnknownIdError
        If the id names nothing, or a run; nothing is changed then.
    NotSaidError
        If it is not marked so, and cannot be taken back.
    SettingsError
        If no reason is given.
    """
    words, do = _reason(why), write.take_back if undo else write.mark
    with home.write_session() as session:
        found, key = find(session, id_text)
        kind = _markable(found, id_text)
        do(session, kind, key, said, why=words, who=who, now=now())
        holds = marks(session, kind, key).get(key)
    done = f"{kind}:{key} is marked {said}"
    if undo:
        done = f"{kind}:{key}: taken back; it is {holds.words if holds else 'not marked any more'}"
    return f"{done}. {_what_follows(home, kind, key, said)}"


def _markable(kind: str, id_text: str) -> Markable:
    if kind not in get_args(Markable):
        raise UnknownIdError(f"{id_text}: a run is not marked: mark its frames, masters or measurements")
    return cast("Markable", kind)


def note(home: Home, instrument: str, words: str, *, who: str, at: datetime | None = None, undo: bool = False) -> str:
    """Note something about an instrument at a time, now if none is given, or take a note of these words back.

    Raises
    ------
    UnknownIdError
        If nothing of this instrument is on record.
    NotSaidError
        If there is no such note to take back.
    SettingsError
        If nothing is said.
    """
    words = _reason(words)
    with home.write_session() as session:
        if undo:
            write.take_note_back(session, instrument, words, who=who, now=now())
            return f"{instrument}: the note is taken back"
        write.note(session, instrument, words, at=at or now(), who=who, now=now())
    return f"{instrument}: noted, and drawn in its trends"


def _reason(words: str) -> str:
    if not words.strip():
        raise SettingsError("nothing is said: give a reason that people understand in years")
    if len(words) > MOST_CHARACTERS:
        raise SettingsError(f"{len(words)} characters are said: say it in {MOST_CHARACTERS}")
    return words.strip()


def _what_follows(home: Home, kind: Markable, key: int, said: Said) -> str:
    if kind == "frame":
        return _of_its_set(home, key)
    if kind == "master":
        try:
            refresh_references(home)
        except OSError as error:
            return f"reference/ could not be brought up to date, which the service does next: {error.strerror}"
    if said == "good":
        return "The mark is shown; the verdict stays what the checks found"
    if kind == "master":
        return "What is marked bad is not in reference/, and is used for nothing"
    return "What is marked bad counts in no trend, no limits and no alerts; it is still shown"


def _of_its_set(home: Home, frame_id: int) -> str:
    with home.read_session() as session:
        set_id = set_of_frame(session, frame_id)
        last = latest_runs(session).get(set_id) if set_id is not None else None
    if last is None:
        return "No run has used it yet: nothing is made anew"
    heartbeat = read_heartbeat(home.path)
    if heartbeat is not None and not heartbeat.has_ended and abs(now() - heartbeat.at) < _SILENT:
        return "Its set is made anew by the service, at once"
    return f"No service runs on this home: its set is made anew when one starts, or now by ccdwatch retry run:{last.id}"
