"""Whether the service of a home does its work: the first of two levels of health."""

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
from db.runs.runs import (
    RunRow,
    often_cut_short,
    open_runs,
)
from db.runs.sets import largest_frames, pixels_of
from db.schema.rows import Row
from flows.config.redaction import redact
from flows.health.overdue import time_limit
from flows.home.disk import Disk
from flows.home.home import Home
from flows.home.identity import words_of_away
from flows.home.processes import HOST, now
from flows.home.renaming import words_of_renamed
from flows.home.service_address import prefect_address
from flows.prefect_server.client import PREFECT_AWAY, PrefectApi
from flows.runs.memory import allowance, too_little
from flows.watching.heartbeat import Heartbeat, read_heartbeat

SILENT_SECONDS = 60.0
"""A watcher that has said nothing for so long is not alive, or hangs."""
OFTEN_CUT_SHORT = 3
"""Runs on the same inputs that were cut short one after the other, before that is told."""
OLDEST_SECONDS = 3600.0
"""A file that has waited for so long waits in vain."""

PREFECT_SILENT = f"the service's {PREFECT_AWAY}"


@dataclass(frozen=True, slots=True)
class Condition(Row):
    """Whether the service of a home does its work.

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
    waits = ages["oldest_unprocessed"]
    if waits is not None and waits > OLDEST_SECONDS and not is_stopped(home, heartbeat):
        findings.append(f"a file that came {_ago(waits)} is not done yet")
    return Condition(tuple(map(redact, findings)), ages)


def is_stopped(home: Home, heartbeat: Heartbeat | None) -> bool:
    """Whether no service is meant to run on a home: none does, and its watcher, if there was any, ended in peace."""
    return prefect_address(home) is None and (heartbeat is None or heartbeat.has_ended)


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


def _answers(api_url: str) -> bool:
    with PrefectApi(api_url) as api:
        return api.is_ready()
