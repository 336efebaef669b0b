"""How a home is doing: its service, its files, its runs, what is missing or stale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.files import ledger
from db.files.ledger import FileRow
from db.frames.revisions import Disagreement
from db.runs.runs import (
    RunRow,
    failed_runs,
    made_with,
    open_runs,
)
from db.schema.rows import Row
from flows.config.redaction import redacted
from flows.config.settings import Settings
from flows.health.judgement import Judgement, judge
from flows.health.waiting import Waiting, waiting
from flows.home.disk import Disk
from flows.home.home import Home
from flows.home.processes import now
from flows.home.service_address import prefect_address, prefect_pages
from flows.prefect_server.client import PREFECT_AWAY
from flows.registration.dates import odd_dates
from flows.registration.disagreements import current_disagreements, in_words
from flows.runs.plan import Plan, reconcile

LAST_QUARANTINED = 10

Facts = tuple[Mapping[str, Any], ...]


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
    waiting : tuple of Waiting
        What is still to be done, and when.
    judged : Judgement
        Whether it works, and what needs attention.
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
    waiting: tuple[Waiting, ...]
    judged: Judgement

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, with ``healthy``, ``working`` and ``problems`` in front."""
        judged = self.judged
        facts = {name: value for name, value in Row.as_dict(self).items() if name not in {"waiting", "judged"}}
        levels = {
            "healthy": judged.is_healthy,
            "working": judged.is_working,
            "problems": judged.problems,
            "findings": list(judged.findings),
            "attention": [one.as_dict() for one in judged.attention],
            "waiting": [one.as_dict() for one in self.waiting],
            "ages_s": dict(judged.ages_s),
        }
        told: dict[str, Any] = redacted({**levels, **facts})
        return told


def health(home: Home) -> Health:
    """Look how a home is doing."""
    api_url = prefect_address(home)
    judged, at = judge(home), now()
    plans, _ = reconcile(home, at)
    with home.read_session() as session:
        return Health(
            home=str(home.path),
            free_bytes=Disk.of(home.path).free,
            prefect_ui_url=api_url and prefect_pages(api_url),
            prefect_answers=api_url is not None and not any(PREFECT_AWAY in one for one in judged.findings),
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
            waiting=waiting(home, at),
            judged=judged,
        )


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
