"""What somebody should look at though the service works: the second of two levels of health.

Each concern is there until it is mended, or somebody has looked at it: `ccdwatch status --seen`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ccdcore.text import number_of, one_line
from db.application.science import uncalibrated
from db.files import ledger
from db.judgements.attention import record_seen, seen_keys
from db.runs.runs import RunRow, cancelled_runs, failed_runs
from db.schema.rows import Row
from db.trends.notices import standing_notices
from db.troubled import fruitless_cameras, masters_in_trouble
from flows.config.errors import SettingsError
from flows.config.redaction import redact
from flows.config.settings import load_settings
from flows.health.missing import missing_frames
from flows.health.stopped import stopped_with_work
from flows.home.home import Home
from flows.home.processes import now
from flows.home.service_address import running_service, words_of_other_web
from flows.judgements.editors import words_of_no_editors
from flows.prefect_server.doings import doings
from flows.registration.dates import odd_dates
from flows.registration.disagreements import FEWEST_REPEATED, current_disagreements, in_words
from flows.retries import RUN_ATTEMPTS
from flows.runs.plan import pause_after
from web.formatting import sentence

_NOUNS = {
    "stopped": ("stopped home", "with files waiting"),
    "pages": ("setting", "of the pages that does not hold"),
    "failed run": ("failed run", ""),
    "cancelled run": ("cancelled run", ""),
    "Prefect": ("matter", "in Prefect"),
    "no results": ("camera", "with frames and no results"),
    "master": ("master", "that may not be used"),
    "trend": ("trend", "that changed"),
    "science": ("science frame", "not calibrated"),
    "missing frames": ("set", "that lacks frames"),
    "quarantine": ("file", "in quarantine"),
    "several exposures": ("frame", "of several exposures"),
    "disagreement": ("frame", "whose files say other cameras or times"),
    "date": ("frame", "left out for dates that are not believed"),
}
"""What concerns are about, the gravest first, and how many of them are called."""


@dataclass(frozen=True, slots=True)
class Concern(Row):
    """Something that somebody should look at.

    Parameters
    ----------
    kind : str
        What it is about: one of those of `_NOUNS`.
    key : str
        By which it is known whether somebody looked at it.
    words : str
        What it is, and where it is not plain what to do.
    n : int
        Of how many things of its kind it tells.
    may_pass : bool
        Whether it is tried again by itself, so that people need not be told yet.
    """

    kind: str
    key: str
    words: str
    n: int = 1
    may_pass: bool = False


def attention(home: Home, at: datetime) -> tuple[Concern, ...]:
    """Return what nobody has looked at and nobody has mended, the gravest first.

    Nothing where the record cannot be read: that keeps the service from its work, and is told as such.
    """
    if not home.is_there:
        return ()
    try:
        with home.read_session() as session:
            seen = seen_keys(session)
            found = [one for look in _LOOKS for one in look(home, session, seen, at)]
        found += [*_of_disagreements(home), *_of_prefect(home, at)]
    except SQLAlchemyError:
        return ()
    order = list(_NOUNS)
    unseen = {one.key: one for one in found if one.key not in seen}
    told = (replace(one, words=redact(one_line(one.words))) for one in unseen.values())
    return tuple(sorted(told, key=lambda one: order.index(one.kind)))


def look_at_all(home: Home, *, who: str) -> tuple[Concern, ...]:
    """Put on record that somebody has looked at all there is; return what that was."""
    found = attention(home, now())
    with home.write_session() as session:
        record_seen(session, [one.key for one in found], who=who, now=now())
    return found


def in_short(concerns: Iterable[Concern]) -> list[str]:
    """Return how many concerns there are of each kind, in words, the gravest first."""
    counts: Counter[str] = Counter()
    for one in concerns:
        counts[one.kind] += one.n
    return [f"{number_of(counts[kind], noun)} {rest}".strip() for kind, (noun, rest) in _NOUNS.items() if counts[kind]]


Look = Callable[[Home, Session, Collection[str], datetime], Iterator[Concern]]


def _of_runs(_home: Home, session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    for run in failed_runs(session):
        yield _of_run("failed run", run, may_pass=pause_after(run) is not None)
    for run in cancelled_runs(session):
        yield _of_run("cancelled run", run)


def _of_run(kind: str, run: RunRow, *, may_pass: bool = False) -> Concern:
    of = f"{run.instrument} {run.night} {run.configuration}"
    return Concern(kind, f"run:{run.id}", f"run:{run.id}, {of}: {run.message}", may_pass=may_pass)


def _of_masters(_home: Home, session: Session, seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    known = {int(key.removeprefix("master:")) for key in seen if key.startswith("master:")}
    for one in masters_in_trouble(session, but=known):
        key = f"master:{one.master_id}"
        # The reason of one that is bad says so itself.
        yield Concern("master", key, f"{key}, {one.instrument} {one.night} {one.product}: {one.valid_to_reason}")


def _of_trends(_home: Home, session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    for notice in standing_notices(session):
        if notice.told or notice.next_try_at is not None:  # else it was history when it came to light
            yield Concern("trend", f"notice:{notice.id}", f"{notice.instrument}: {sentence(notice)}")


def _of_cameras(home: Home, session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    for one in fruitless_cameras(session, host=home.settings.host):
        words = f"{one.instrument}: {number_of(one.n_frames, 'frame')} and no results: {one.reason}"
        yield Concern("no results", f"camera:{one.instrument} run:{one.run_id}", words)


def _of_missing(home: Home, session: Session, _seen: Collection[str], at: datetime) -> Iterator[Concern]:
    for one in missing_frames(home, session, at):
        yield Concern("missing frames", one.key, one.words)


def _of_science(home: Home, session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    """Tell of the science frames that the service could not calibrate: once of those of a night for one reason."""
    if not home.settings.science.calibrate:
        return
    for one in uncalibrated(session, host=home.settings.host):
        n, of = len(one.frame_ids), f"{one.instrument} {one.night or 'undated'}"
        which = hashlib.sha256(one.reason.encode(errors="backslashreplace")).hexdigest()[:12]
        words = f"{number_of(n, 'science frame')} of {of}, as frame:{one.frame_ids[0]}: {one.reason}"
        may_pass = one.is_failure and one.tries < RUN_ATTEMPTS
        yield Concern("science", f"science:{of} {which}", words, n, may_pass=may_pass)


def _of_files(_home: Home, session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    for file in ledger.quarantined(session):
        came = f"{file.changed_at:%Y-%m-%dT%H:%M:%S.%f}"
        yield Concern("quarantine", f"file:{file.id} {came}", f"file:{file.id}, {file.path}: {file.reason}")


def _of_dates(home: Home, session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    for one in odd_dates(session, host=home.settings.host):
        if one["are_left_out"]:
            n, camera = one["n"], one["instrument"]
            words = f"{number_of(n, 'frame')} of {camera}, as {one['path']}: {one['reason']}"
            yield Concern("date", f"dates:{camera} {n}", words, n)


def _of_stopped(home: Home, session: Session, _seen: Collection[str], at: datetime) -> Iterator[Concern]:
    if found := stopped_with_work(home, session, at):
        yield Concern("stopped", *found)


def _of_pages(home: Home, _session: Session, _seen: Collection[str], _at: datetime) -> Iterator[Concern]:
    """Tell where the pages of the running service are not as the configuration, read now, wants them."""
    if (service := running_service(home.path)) is None:
        return
    try:
        settings = load_settings(home.path)
    except SettingsError:
        return  # the watcher tells of it
    for words in filter(None, (words_of_other_web(settings), words_of_no_editors(settings))):
        of = hashlib.sha256(f"{words} {settings.web!r}".encode()).hexdigest()[:12]
        yield Concern("pages", f"pages:{of} {service.started:.0f}", words)


_LOOKS: tuple[Look, ...] = (
    _of_stopped,
    _of_pages,
    _of_runs,
    _of_cameras,
    _of_masters,
    _of_trends,
    _of_science,
    _of_missing,
    _of_files,
    _of_dates,
)


def _of_disagreements(home: Home) -> Iterator[Concern]:
    for one in current_disagreements(home):
        is_repeated = one.n_exposures >= FEWEST_REPEATED
        if one.is_overexposed or not (is_repeated or {"instrument", "date_obs"} & set(one.differing)):
            continue
        kind = "several exposures" if is_repeated else "disagreement"
        which = "-".join(str(saying.file_id) for saying in one.sayings)
        yield Concern(kind, f"frame:{one.frame_id} files {which}", f"frame:{one.frame_id}: {in_words(one)}")


def _of_prefect(home: Home, at: datetime) -> Iterator[Concern]:
    for one in doings(home, at):
        yield Concern("Prefect", one.key, one.words, may_pass=one.may_pass)
