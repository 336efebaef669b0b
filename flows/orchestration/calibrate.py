"""The Prefect flow of one calibration set: each step a task; ids pass between them, never arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from prefect import State, Task, flow, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from db.errors import UnknownIdError
from db.runs.runs import find_run, get_run
from db.runs.sets import largest_frames
from db.schema.models import Outcome
from flows.calibration.engine import recording_failure
from flows.calibration.steps import STEPS, Step, do
from flows.config.redaction import without_secrets
from flows.config.settings import PrefectSettings
from flows.home.home import Home, cached_home, own_home
from flows.home.processes import now
from flows.orchestration.findings import OnRecord
from flows.orchestration.report import publish_report, summary
from flows.orchestration.slots import slot
from flows.runs.begin import begin_run
from flows.runs.lacks import ProductFailedError, producing
from flows.runs.memory import needed
from flows.runs.pictures import are_drawn
from flows.runs.plan import Plan, plans_of

StepTask: TypeAlias = Task[[str, int], State[None]]


def _task(step: Step) -> StepTask:
    """Wrap a step as a task that takes the home by its path, so that Prefect shows ids and words only."""

    def run(home: str, run_id: int) -> State[None]:
        with without_secrets():
            opened = cached_home(home)
            before = OnRecord.of(opened, run_id)
            try:
                do(step, opened, run_id)
            except ProductFailedError:
                _say(OnRecord.of(opened, run_id).since(before))
                raise
            found = OnRecord.of(opened, run_id).since(before)
            _say(found)
            return found.state(is_product=step.is_urgent and not step.is_for_all)

    return Task(
        run,
        name=step.name,
        description=(step.function.__doc__ or "").strip().partition("\n")[0],
        task_run_name=step.name,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def _say(found: OnRecord) -> None:
    for line in found.lines:
        get_run_logger().info("%s", line)


PATIENCE = 10
"""What is added to the niceness of the run's process (0 at first, 19 at most) for work that nobody waits for."""

URGENT = [_task(step) for step in STEPS if step.is_urgent]
PATIENT = [_task(step) for step in STEPS if not step.is_urgent]


@contextmanager
def _where_tasks_run(settings: PrefectSettings) -> Iterator[Callable[[StepTask, str, int], object]]:
    """Give what runs a task and waits for its end: in this process, or on a Dask cluster.

    Tasks follow one another, so a cluster makes no run quicker: it takes the work off this machine.
    """
    if settings.task_runner == "threads":
        yield lambda task, home, run_id: task(home, run_id)
        return
    from prefect_dask.task_runners import DaskTaskRunner

    with DaskTaskRunner(address=settings.dask_address) as cluster:
        yield lambda task, home, run_id: cluster.submit(task, {"home": home, "run_id": run_id}).result()


@flow(name="calibrate", persist_result=False, validate_parameters=False)
def calibrate(
    set_id: int, digest: str | None = None, attempt: int | None = None, home: str | None = None
) -> State[None]:
    """Measure gain and read noise of a calibration set, build its masters, and record them.

    Parameters
    ----------
    set_id : int
        The calibration set.
    digest : str, optional
        Digest of its inputs; where they are others by now, there is nothing to do, another run does it. Without it, as
        where somebody asks in the Prefect UI, the set is made again of what is there.
    attempt : int, optional
        Which attempt at these inputs it is; the next one without it.
    home : str, optional
        Id of the home that it is for. A run for another home than that of its process is refused.

    Returns
    -------
    State
        What was found, in its message; named for the worst verdict. Failed, with what the record says, where a product
        failed; the others are made and shown.
    """
    with without_secrets():
        opened = own_home(home)
        if digest is None or attempt is None:
            plan = _plan(opened, set_id)
            digest, attempt = plan.digest, plan.attempt
        return _calibrate(opened, set_id=set_id, digest=digest, attempt=attempt)


def _plan(home: Home, set_id: int) -> Plan:
    """Return the run that makes a set again, whatever became of the last one.

    Raises
    ------
    UnknownIdError
        If there is no such set.
    """
    found = plans_of(home, {set_id}, now(), again_after=frozenset(Outcome))
    if not found:
        raise UnknownIdError(f"no frames of a set {set_id} are on record here: the pages show its number with each run")
    return found[0]


def _calibrate(home: Home, *, set_id: int, digest: str, attempt: int) -> State[None]:
    logger = get_run_logger()
    run_id = _results(home, set_id=set_id, digest=digest, attempt=attempt)
    run_id = run_id or _without_pictures(home, set_id=set_id, digest=digest, attempt=attempt)
    if run_id is None:
        nothing = "Nothing to do: this run was made before, or more frames came since it was asked for"
        logger.info(nothing)
        return Completed(name="Skipped", message=nothing)
    os.nice(PATIENCE)
    with _where_tasks_run(home.settings.prefect) as run_task:
        for task in PATIENT:
            with suppress(ProductFailedError):
                run_task(task, str(home.path), run_id)
    for line in summary(home, run_id):
        logger.info(line)
    with producing(home, run_id, "report"):
        publish_report(home, run_id)
    with home.read_session() as session:
        run = get_run(session, run_id)
    return Failed(message=run.message) if run.is_done_in_part else OnRecord.of(home, run_id).state()


def _results(home: Home, *, set_id: int, digest: str, attempt: int) -> int | None:
    """Claim the run and do what somebody waits for; return its id, or None where there is nothing to do."""
    with home.read_session() as session:
        n_pixels = largest_frames(session, {set_id}).get(set_id, 0)
    with slot(home.path, needed(n_pixels)):
        run_id = begin_run(
            home, set_id=set_id, digest=digest, attempt=attempt, engine="prefect", flow_run_id=str(flow_run.id)
        )
        if run_id is not None:
            with recording_failure(home, run_id, reraise=True), _where_tasks_run(home.settings.prefect) as run_task:
                for task in URGENT:
                    with suppress(ProductFailedError):
                        run_task(task, str(home.path), run_id)
    return run_id


def _without_pictures(home: Home, *, set_id: int, digest: str, attempt: int) -> int | None:
    """Return this run if it was made, but killed before its pictures were drawn."""
    with home.read_session() as session:
        run = find_run(session, set_id=set_id, digest=digest, attempt=attempt)
    return run.id if run and run.outcome is Outcome.DONE and not are_drawn(home, run.id) else None
