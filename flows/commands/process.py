"""`process`, `retry`, `backfill`: work on request, now, and its results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from ccdcore.headers.instrument import FrameType
from ccdcore.text import readable
from db.errors import UnknownIdError
from db.files import ledger
from db.files.ledger import FileRow, Sighting
from db.files.raw_inputs import files_to_read
from db.frames.revisions import changed_sets
from db.frames.series import FileFrame, frames_of_files
from db.runs.runs import RunRow, find_run, open_runs, runs_of
from db.runs.sets import set_summaries
from db.schema.models import FileState, Outcome
from flows.calibration.engine import run_locally
from flows.calibration.inner_loops import ready
from flows.calibration.results import current_results
from flows.home.home import Home
from flows.home.processes import HOST, now
from flows.home.service_address import running_service
from flows.orchestration.requests import run_by_prefect
from flows.prefect_server.client import PrefectApi
from flows.prefect_server.password import password_of
from flows.products.cleanup import give_up_lost_runs
from flows.registration.dates import doubt_about_date
from flows.registration.register import free_lost_claims, register_files
from flows.retries import FILE_ON_REQUEST, FILE_TRIES, PATIENCE_S
from flows.runs.pictures import to_draw
from flows.runs.plan import UNDONE, Plan, plans_of, run_name, settles_at
from flows.watching.directory_tree import sighting
from flows.watching.named_files import find_files

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


def process(
    home: Home, paths: Sequence[Path], *, progress: Progress = lambda *_: None, pictures: bool | None = None
) -> dict[str, Any]:
    """Register these files and folders, make the runs that their sets lack, and return the current results.

    Parameters
    ----------
    home : Home
        The open home.
    paths : sequence of Path
        Files, and folders that are searched to the bottom.
    progress : callable, optional
        Told how the work goes on.
    pictures : bool, optional
        Whether pictures of all runs are drawn now, or of none; else as `flows.runs.pictures.to_draw` says. The pages
        draw what is missing when somebody looks at it. A running service draws all that it makes.

    Returns
    -------
    dict
        ``characterisations``, ``masters``, ``excluded``, ``failed`` and ``other``, as plain JSON values;
        ``other_reasons`` says why other frames are no calibration frames, and how many for each reason.

    Raises
    ------
    flows.config.errors.SettingsError
        If a path does not exist.
    """
    began = now()
    found = find_files(home, paths)
    files = _on_ledger(home, found.sightings)
    with home.read_session() as session:
        stale = set(ledger.identified_otherwise(session, host=home.settings.host, identified_with=home.identified_with))
    _register(home, {file.id for file in files if file.state is not FileState.DONE or file.id in stale}, progress)
    file_ids = [file.id for file in files]
    made = _make_runs(home, _held(home, file_ids)[1] | _changed_sets(home, began), progress, pictures=pictures)
    held, set_ids = _held(home, file_ids)
    answer = _answer(home, held, set_ids, made)
    answer["excluded"] += found.excluded
    answer["failed"] += found.failed
    return answer


def retry(home: Home, id_texts: Sequence[str], *, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Read these files again, and make these runs again, whatever became of them; return as `process` does.

    Parameters
    ----------
    home : Home
        The open home.
    id_texts : sequence of str
        ``file:12``, ``run:5``.
    progress : callable, optional
        Told how the work goes on.

    Raises
    ------
    UnknownIdError
        If one names nothing.
    """
    began = now()
    files, of_runs = _named(home, id_texts)
    _on_ledger(
        home, [sighting(file.root, file.relative_path, file.path.stat()) for file in files if file.path.exists()]
    )
    file_ids = [file.id for file in files]
    _register(home, file_ids, progress, prevails=True)
    made = _make_runs(home, of_runs, progress, again_after=frozenset(Outcome))
    made += _make_runs(home, (_held(home, file_ids)[1] | _changed_sets(home, began)) - of_runs, progress)
    held, set_ids = _held(home, file_ids)
    return _answer(home, held, set_ids | of_runs, made)


def backfill(
    home: Home, *, since: date | None = None, progress: Progress = lambda *_: None, pictures: bool | None = None
) -> dict[str, Any]:
    """Make anew what other recipes, entries or rules than those in force have made; return as `process` does.

    Parameters
    ----------
    home : Home
        The open home.
    since : date, optional
        Only nights from this one on.
    progress : callable, optional
        Told how the work goes on.
    pictures : bool, optional
        As of `process`.
    """
    began, host = now(), home.settings.host
    with home.read_session() as session:
        otherwise = ledger.identified_otherwise(session, host=host, identified_with=home.identified_with, since=since)
    _register(home, otherwise, progress)
    held, of_files = _held(home, otherwise)
    reread = of_files | _changed_sets(home, began)
    at, settle = now(), home.settings.watch.settle_seconds
    with home.read_session() as session:
        believed = at + timedelta(seconds=settle)
        summaries = set_summaries(session, host=host, since=since, believed_until=believed)
    # One that has results was complete once, and so was one that is read anew.
    new = {one.id: settles_at(one, settle) for one in summaries if one.latest_run is None and one.id not in reread}
    wait = {set_id: until for set_id, until in new.items() if until > at}
    set_ids = {one.id for one in summaries} | reread
    plans = plans_of(home, set_ids, at)
    remade = {plan.set_id for plan in plans if plan.set_id not in wait}
    remade |= {run.set_id for run in _under_way(home, set_ids)}
    made = _make_runs(home, remade, progress, pictures=pictures)
    answer = _answer(home, held, remade, made)
    answer["excluded"] += [_waiting(plan, wait[plan.set_id]) for plan in plans if plan.set_id in wait]
    return answer


def _waiting(plan: Plan, until: datetime) -> dict[str, Any]:
    name = run_name(plan.instrument, plan.night, plan.configuration)
    when = f"{until:%Y-%m-%d %H:%M:%S} UTC"
    todo = "a service makes it then, as does ccdwatch backfill"
    return {"path": name, "reason": f"waits for more frames until {when}: {todo}; now: ccdwatch process DIR"}


def _named(home: Home, id_texts: Sequence[str]) -> tuple[list[FileRow], set[int]]:
    """Return the files, and the sets of the runs, that these ids name."""
    numbers: dict[str, set[int]] = {"file": set(), "run": set()}
    for text in id_texts:
        kind, _, number = text.strip().lower().partition(":")
        if kind not in numbers or not number.isdecimal() or len(number) > 9:
            raise UnknownIdError(f"{text} is no id of a file or a run: write file:12 or run:5, see ccdwatch status")
        numbers[kind].add(int(number))
    with home.read_session() as session:
        files = [file for file in ledger.files_of(session, numbers["file"]) if file.host == home.settings.host]
        runs = {run.id: run.set_id for run in runs_of(session, numbers["run"])}
        here = {one.id for one in set_summaries(session, host=home.settings.host)}
    unknown = numbers["file"] - {file.id for file in files}
    missing = [f"file:{one}" for one in unknown] + [f"run:{one}" for one in numbers["run"] - runs.keys()]
    if missing:
        raise UnknownIdError(f"nothing on record here is {', '.join(missing)}: see ccdwatch status for ids")
    if elsewhere := [f"run:{key}" for key, set_id in runs.items() if set_id not in here]:
        host = home.settings.host
        raise UnknownIdError(f"no frame of {', '.join(elsewhere)} is on record under {host}: see ccdwatch status")
    return files, set(runs.values())


def _held(home: Home, file_ids: Collection[int]) -> tuple[list[FileFrame], set[int]]:
    """Return what these files hold, and the sets of it."""
    with home.read_session() as session:
        held = frames_of_files(session, file_ids)
    return held, {frame.set_id for frame in held if frame.set_id is not None}


def _answer(home: Home, held: Sequence[FileFrame], set_ids: Collection[int], made: _Made) -> dict[str, Any]:
    failed = [_failure(frame) for frame in held if frame.state is not FileState.DONE]
    results = current_results(home, set_ids)
    results["excluded"] += made.changed
    results["excluded"] += [_without_date(frame) for frame in held if frame.is_calibration and frame.set_id is None]
    reasons = Counter(frame.frame_type_reason for frame in held if frame.frame_type is FrameType.OTHER)
    return {
        **results,
        "failed": failed + made.failed + results["failed"],
        "other": reasons.total(),
        "other_reasons": dict(reasons.most_common()),
    }


def _on_ledger(home: Home, sightings: Sequence[Sighting]) -> list[FileRow]:
    with home.write_session() as session:
        ledger.observe(session, sightings, host=home.settings.host, now=now())
        return ledger.files_at(session, sightings, host=home.settings.host)


def _changed_sets(home: Home, since: datetime) -> set[int]:
    """Return the sets that a corrected header has made others: those it left, too."""
    with home.read_session() as session:
        return changed_sets(session, since)


def _register(home: Home, file_ids: Collection[int], progress: Progress, *, prevails: bool = False) -> None:
    """Register these files, also those that cannot be read at once, and wait for what the service is at."""
    todo = set(file_ids)
    done = tries = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress("reading frames", done, len(todo))

    left: Collection[int] = todo
    while left:
        free_lost_claims(home)
        again = register_files(home, file_ids=left, progress=count, prevails=prevails).again
        left = _not_read(home, todo)
        if left:
            time.sleep(0.2)
        elif again and (tries := tries + 1) < FILE_TRIES:
            progress("reading frames again that could not be read", len(todo) - len(again), len(todo))
            time.sleep(FILE_ON_REQUEST.after(tries))
            left = again


def _not_read(home: Home, file_ids: Collection[int]) -> list[int]:
    """Return the files that others have claimed, or had."""
    with home.read_session() as session:
        held = frames_of_files(session, file_ids)
    return [frame.file_id for frame in held if frame.state in {FileState.CLAIMED, FileState.READY}]


@dataclass
class _Made:
    """What went wrong in making runs: those that failed, and those that were made again for a file that changed."""

    failed: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)

    def __add__(self, other: _Made) -> _Made:
        return _Made(self.failed + other.failed, self.changed + other.changed)


def _make_runs(
    home: Home,
    set_ids: Collection[int],
    progress: Progress,
    *,
    again_after: Collection[Outcome] = UNDONE,
    pictures: bool | None = None,
    rounds: int = 3,
) -> _Made:
    """Make the runs by the Prefect of the service on this home, else by the local engine."""
    _wait_for_others(home, set_ids)
    service = running_service(home.path)
    made, again = _Made(), set[int]()
    for other in _elsewhere(home, set_ids):
        reason = f"is under way on {other.host}: type ccdwatch process again when it has ended"
        made.failed.append({"path": f"run {other.id}", "reason": reason})
    plans = plans_of(home, set_ids, now(), again_after=again_after)
    if plans and service is None:
        ready(progress)
    drawn = to_draw(plans, pictures)
    for number, plan in enumerate(plans):
        name = run_name(plan.instrument, plan.night, plan.configuration)
        progress(name, number, len(plans))
        if service is not None:
            url = home.settings.prefect.api_url or service.prefect_api_url
            password = password_of(home.path, url)
            with PrefectApi(url, password=password, patience_seconds=PATIENCE_S) as api:
                run_by_prefect(home, api, plan)
        else:
            say_step = partial(_say_step, progress, name, number, len(plans))
            run_locally(home, plan, progress=say_step, pictures=plan.set_id in drawn)
        run = _wait_for_end(home, plan)
        if run is None:
            reason = "frames came or went before the run began: type ccdwatch process again"
            made.failed.append({"path": name, "reason": reason})
        elif run.outcome is Outcome.ABANDONED and rounds > 1:
            changed = _read_changed(home, run, progress)
            again |= {plan.set_id, *(frame.set_id for frame in changed if frame.set_id is not None)}
            made.changed += [{"path": readable(str(frame.path)), "reason": run.message} for frame in changed] or [
                {"path": name, "reason": run.message}
            ]
        elif run.outcome is not Outcome.DONE:
            made.failed.append({"path": name, "reason": run.message})
    rest = set(set_ids) - {plan.set_id for plan in plans}
    if _others_are_at_work(home, rest):  # somebody began between our look at them and our plans
        made += _make_runs(home, rest, progress, again_after=again_after, pictures=pictures)
    if again:
        made += _make_runs(home, again, progress, pictures=pictures, rounds=rounds - 1)
    return made


def _read_changed(home: Home, run: RunRow, progress: Progress) -> list[FileFrame]:
    """Read again the files of a run that changed under it, and return what they hold now."""
    with home.read_session() as session:
        changed = files_to_read(session, run.id, host=home.settings.host)
    _register(home, changed, progress)
    return _held(home, changed)[0]


def _wait_for_others(home: Home, set_ids: Collection[int]) -> None:
    """Wait for the runs on these sets that are under way; those whose process is gone are given up.

    Of those elsewhere nothing can be seen, so that they are waited for a minute only.
    """
    end = time.monotonic() + PATIENCE_S
    give_up_lost_runs(home)
    while _others_are_at_work(home, set_ids) or (_elsewhere(home, set_ids) and time.monotonic() < end):
        time.sleep(0.3)
        give_up_lost_runs(home)


def _others_are_at_work(home: Home, set_ids: Collection[int]) -> bool:
    return any(run.host == HOST for run in _under_way(home, set_ids))


def _elsewhere(home: Home, set_ids: Collection[int]) -> list[RunRow]:
    """Return the runs on these sets that are under way on another machine, or in another container."""
    return [run for run in _under_way(home, set_ids) if run.host != HOST]


def _under_way(home: Home, set_ids: Collection[int]) -> list[RunRow]:
    with home.read_session() as session:
        return [run for run in open_runs(session) if run.set_id in set_ids]


def _say_step(progress: Progress, name: str, number: int, total: int, step: str) -> None:
    progress(f"{name}: {step}", number, total)


def _wait_for_end(home: Home, plan: Plan) -> RunRow | None:
    """Wait until the run of a plan, whoever made it, is over, and return it; None where it never began."""
    while True:
        with home.read_session() as session:
            run = find_run(session, set_id=plan.set_id, digest=plan.digest, attempt=plan.attempt)
        if run is None or run.outcome is not None:
            return run
        time.sleep(0.3)
        give_up_lost_runs(home)


def _failure(frame: FileFrame) -> dict[str, Any]:
    return {"path": readable(str(frame.path)), "reason": frame.reason or f"it is {frame.state}: try again"}


def _without_date(frame: FileFrame) -> dict[str, Any]:
    not_known = "the date of the exposure is not known: name its card as header = { date_obs = … } of an [[instrument]]"
    reason = doubt_about_date(frame.date_obs, frame.joined_at) if frame.joined_at else None
    return {"path": readable(str(frame.path)), "reason": reason or not_known}
