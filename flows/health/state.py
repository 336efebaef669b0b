"""How a home is doing: its service, its files, its runs, what is missing or stale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from ccdcore.text import number_of
from db.files import ledger
from db.files.ledger import FileRow
from db.frames.revisions import Disagreement
from db.runs.runs import (
    RunRow,
    failed_runs,
    made_with,
    open_runs,
)
from db.schema.models import FileState
from db.schema.rows import Row
from flows.config.redaction import redacted
from flows.config.settings import Settings
from flows.health.condition import condition
from flows.home.disk import Disk
from flows.home.home import Home
from flows.home.processes import now
from flows.home.service_address import prefect_address, prefect_pages
from flows.prefect_server.client import PREFECT_AWAY
from flows.registration.dates import odd_dates
from flows.registration.disagreements import FEWEST_REPEATED, current_disagreements, in_words
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
