"""How a home is doing: its service, its files, its runs, what is missing or stale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ccdcore.text import number_of
from db.engine import words_of_error
from db.files import ledger
from db.files.ledger import FileRow
from db.frames.revisions import Disagreement
from db.runs.runs import (
    RunRow,
    failed_runs,
    made_with,
    often_cut_short,
    open_runs,
)
from db.runs.sets import largest_frames, pixels_of
from db.schema.models import FileState
from db.schema.rows import Row
from flows.config.redaction import redact, redacted
from flows.config.settings import Settings
from flows.home.disk import Disk
from flows.home.home import Home
from flows.home.identity import words_of_away
from flows.home.processes import HOST, now
from flows.home.renaming import words_of_renamed
from flows.home.service_address import prefect_address, prefect_pages
from flows.prefect_server.client import PREFECT_AWAY, PrefectApi
from flows.registration.dates import odd_dates
from flows.registration.disagreements import FEWEST_REPEATED, current_disagreements, in_words
from flows.runs.memory import allowance, too_little
from flows.runs.plan import Plan, reconcile
from flows.service.overdue import time_limit
from flows.watching.heartbeat import Heartbeat, read_heartbeat

LAST_QUARANTINED = 10
SILENT_SECONDS = 60.0
"""A watcher that has said nothing for so long is not alive, or hangs."""
OFTEN_CUT_SHORT = 3
"""Runs on the same inputs that were cut short one after the other, before that is told."""
OLDEST_SECONDS = 3600.0
"""A file that has waited for so long waits in vain."""

PREFECT_SILENT = f"the service's {PREFECT_AWAY}"

Facts = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Condition(Row):
    """Whether the service of a home does its work: what `status`, `doctor` and monitors are told.

    Parameters
    ----------
    findings : tuple of str
        What keeps it from its work, in words; empty where nothing does.
    ages_s : mapping of str to float or None
        Seconds since the ``watcher`` was last heard, since the last ``scan`` of everything, since the
        ``oldest_unprocessed`` file arrived, and since the ``oldest_run`` under way began; None where there is none.
    """

    findings: tuple[str, ...]
    ages_s: Mapping[str, float | None]

    @property
    def is_ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, with ``status`` (``ok`` or ``degraded``) in front."""
        return {"status": "ok" if self.is_ok else "degraded", **Row.as_dict(self)}


def condition(home: Home) -> Condition:
    """Look whether the service of a home does its work; quick, and never raises for what it looks at."""
    if not home.is_there:
        return Condition((words_of_away(home.path),), dict.fromkeys(("watcher", "scan", "oldest_unprocessed")))
    heartbeat, at = read_heartbeat(home.path), now()
    if heartbeat is not None and heartbeat.has_ended:
        heartbeat = None
    findings = [*_of_watcher(home, heartbeat, at), *_of_disk(home)]
    if not any(PREFECT_AWAY in one for one in findings):
        findings += _of_prefect(home)
    oldest = oldest_run = None
    try:
        with home.read_session() as session:
            oldest = ledger.oldest_unprocessed(session)
            runs = open_runs(session)
            oldest_run = min((run.began_at for run in runs), default=None)
            findings += _of_runs(session, runs, at)
        findings += words_of_renamed(home)
    except SQLAlchemyError as error:
        findings.append(f"the database cannot be read: {words_of_error(home.engine, error)}")
    ages = {
        "watcher": _age(heartbeat.at if heartbeat else None, at),
        "scan": _age(heartbeat.scanned_at if heartbeat else None, at),
        "oldest_unprocessed": _age(oldest, at),
        "oldest_run": _age(oldest_run, at),
    }
    if (waits := ages["oldest_unprocessed"]) is not None and waits > OLDEST_SECONDS:
        findings.append(f"a file that came {_ago(waits)} is not done yet")
    return Condition(tuple(map(redact, findings)), ages)


def _of_watcher(home: Home, heartbeat: Heartbeat | None, at: datetime) -> Iterator[str]:
    if heartbeat is None:
        if prefect_address(home) is not None:
            yield "no watcher runs: frames that land are not seen"
        return
    # A time before us was told by a clock that was ahead, by a watcher that has not been heard since it was put right.
    if (silent := abs((at - heartbeat.at).total_seconds())) > SILENT_SECONDS:
        yield f"the watcher was last heard {_ago(silent)}: frames that land are not seen"
        return
    if heartbeat.trouble:
        yield heartbeat.trouble
    yield from (f"watched folder {folder} is not there, or not mounted" for folder in heartbeat.missing)
    for folder in heartbeat.unobserved:
        yield f"no events come from watched folder {folder}: it is only scanned; if so for good, set [watch] polling"
    for folder in heartbeat.unreadable[:1]:
        yield f"{number_of(len(heartbeat.unreadable), 'watched folder')} cannot be listed: {folder}"
    late = 2 * home.settings.watch.scan_seconds + SILENT_SECONDS
    if heartbeat.scanned_at and (age := (at - heartbeat.scanned_at).total_seconds()) > late:
        yield f"the watched folders were last scanned {_ago(age)}"


def _of_prefect(home: Home) -> Iterator[str]:
    api_url = prefect_address(home)
    if api_url is not None and not _answers(api_url):
        yield PREFECT_SILENT


def _of_runs(session: Session, runs: Sequence[RunRow], at: datetime) -> Iterator[str]:
    """Tell of runs that have been under way for longer than any should, or are cut short again and again."""
    set_ids = {run.set_id for run in runs}
    n_pixels, largest = pixels_of(session, set_ids), largest_frames(session, set_ids)
    for run in runs:
        if run.host == HOST and (words := too_little(largest.get(run.set_id, 0), allowance(run.pid))):
            yield f"run:{run.id} may be killed: {words}"
        age = (at - run.began_at).total_seconds()
        if age > time_limit(n_pixels.get(run.set_id, 0)):
            yield f"run:{run.id} began {_ago(age)} and has not ended"
    for cut in often_cut_short(session, attempts=OFTEN_CUT_SHORT):
        yield f"run:{cut.id} ({cut.instrument} {cut.night}) was cut short {cut.attempt} times, the last: {cut.message}"


def _of_disk(home: Home) -> Iterator[str]:
    if finding := Disk.of(home.path).finding:
        yield finding


def words_of_ages(ages_s: Mapping[str, float | None]) -> str:
    """Return the ages of a condition in words; empty where there are none."""
    words = {
        "watcher": "watcher heard",
        "scan": "everything scanned",
        "oldest_unprocessed": "oldest waiting file came",
        "oldest_run": "oldest run under way began",
    }
    known = {what: age for what, age in ages_s.items() if age is not None}
    return ", ".join(f"{words[what]} {_ago(age)}" for what, age in known.items())


def _ago(seconds: float) -> str:
    """Return for example ``12 s ago``, ``3 min ago``."""
    for size, unit in ((7200.0, "h"), (120.0, "min")):
        if seconds >= size:
            return f"{seconds / (3600 if unit == 'h' else 60):.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def _age(then: datetime | None, at: datetime) -> float | None:
    return None if then is None else (at - then).total_seconds()


@dataclass(frozen=True, slots=True)
class Health(Row):
    """How a home is doing.

    Parameters
    ----------
    home : str
        The directory.
    free_bytes : int
        Space that is left on its disk.
    prefect_ui_url : str or None
        Address of the Prefect server that is configured, else of the service that runs on it; None where none does.
    prefect_answers : bool
        Whether that Prefect answers.
    files : mapping of str to int
        Files on the ledger, by state.
    oldest_unprocessed : datetime or None
        When the file arrived that has waited longest to be done.
    quarantined : tuple of mapping
        The last files that were put into quarantine: id, path and reason.
    open_runs, failed_runs : tuple of mapping
        Runs under way, and those that failed and were not made again: run, set and message.
    due : tuple of mapping
        Sets whose run ought to be made now.
    stale : tuple of mapping
        Sets whose results were made by another recipe or entry than those in force: run, set and what changed.
    odd_dates : tuple of mapping
        Frames whose dates are not believed, or odd: instrument, how many, whether they are left out, one of them, why.
    identified_otherwise : int
        Files whose frames were identified by other rules than those in force.
    disagreements : tuple of mapping
        Frames whose files say different things of them: frame, its files, what they differ in, and all in words.
    ages_s : mapping of str to float or None
        As in `Condition`.
    findings : tuple of str
        As in `Condition`.
    """

    home: str
    free_bytes: int
    prefect_ui_url: str | None
    prefect_answers: bool
    files: Mapping[str, int]
    oldest_unprocessed: datetime | None
    quarantined: Facts
    open_runs: Facts
    failed_runs: Facts
    due: Facts
    stale: Facts
    odd_dates: Facts
    identified_otherwise: int
    disagreements: Facts
    ages_s: Mapping[str, float | None]
    findings: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """What makes it ill, in words; a home where no service runs is not ill for that."""
        n_quarantined = self.files[FileState.QUARANTINED]
        n_not_believed = sum(one["n"] for one in self.odd_dates if one["are_left_out"])
        told = [one for one in self.disagreements if not one["overexposed"]]
        n_repeated = sum(one["exposures"] >= FEWEST_REPEATED for one in told)
        n_doubtful = sum(not {"instrument", "date_obs"}.isdisjoint(one["differ_in"]) for one in told) - n_repeated
        found = {
            f"{number_of(n_quarantined, 'file')} in quarantine": n_quarantined > 0,
            number_of(len(self.failed_runs), "failed run"): bool(self.failed_runs),
            f"{number_of(n_repeated, 'frame')} of several exposures": n_repeated > 0,
            f"{number_of(n_doubtful, 'frame')} whose files say other cameras or times": n_doubtful > 0,
            f"{number_of(n_not_believed, 'frame')} left out for dates that are not believed": n_not_believed > 0,
        }
        return [*self.findings, *(problem for problem, is_so in found.items() if is_so)]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, with ``healthy`` and ``problems`` in front."""
        return {"healthy": not self.problems, **redacted({"problems": self.problems, **Row.as_dict(self)})}


def health(home: Home) -> Health:
    """Look how a home is doing."""
    api_url = prefect_address(home)
    found = condition(home)
    plans, _ = reconcile(home, now())
    with home.read_session() as session:
        return Health(
            home=str(home.path),
            free_bytes=Disk.of(home.path).free,
            prefect_ui_url=api_url and prefect_pages(api_url),
            prefect_answers=api_url is not None and not any(PREFECT_AWAY in one for one in found.findings),
            files={str(state): n for state, n in ledger.counts(session).items()},
            oldest_unprocessed=ledger.oldest_unprocessed(session),
            quarantined=tuple(map(_file, ledger.quarantined(session, limit=LAST_QUARANTINED))),
            open_runs=tuple(map(_run, reversed(open_runs(session)))),
            failed_runs=tuple(map(_run, failed_runs(session))),
            due=tuple(map(_set, plans)),
            stale=_stale(session, home.settings),
            odd_dates=tuple(odd_dates(session, host=home.settings.host)),
            identified_otherwise=len(
                ledger.identified_otherwise(session, host=home.settings.host, identified_with=home.identified_with)
            ),
            disagreements=tuple(map(_disagreement, current_disagreements(home))),
            ages_s=found.ages_s,
            findings=found.findings,
        )


def _answers(api_url: str) -> bool:
    with PrefectApi(api_url) as api:
        return api.is_ready()


def _file(file: FileRow) -> dict[str, Any]:
    return {"id": f"file:{file.id}", "path": str(file.path), "reason": file.reason}


def _disagreement(one: Disagreement) -> dict[str, Any]:
    return {
        "frame": f"frame:{one.frame_id}",
        "files": [str(saying.path) for saying in one.sayings],
        "differ_in": list(one.differing),
        "exposures": one.n_exposures,
        "overexposed": one.is_overexposed,
        "told": in_words(one),
    }


def _run(run: RunRow) -> dict[str, Any]:
    return {"run_id": run.id, **_set(run), "message": run.message}


def _set(one: RunRow | Plan) -> dict[str, Any]:
    return {"instrument": one.instrument, "night": one.night, "configuration": one.configuration}


def _stale(session: Session, settings: Settings) -> Facts:
    recipes = settings.recipes.describe()
    stale = []
    for run, entries in made_with(session, host=settings.host):
        changed = ["the recipe"] if run.recipes != recipes else []
        if not _is_read_with(settings, run.instrument, entries):
            changed.append("the instrument entry")
        if changed:
            stale.append({"run_id": run.id, **_set(run), "changed": " and ".join(changed)})
    return tuple(stale)


def _is_read_with(settings: Settings, instrument: str, entries: frozenset[str]) -> bool:
    """Whether the entries that frames were read with are all in force."""
    in_force = {entry.digest for entry in settings.instruments if entry.name == instrument}
    return entries <= (in_force or {""})
