"""The Prefect flow of one calibration set: each step a task; ids pass between them, never arrays."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from importlib.metadata import version

from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from db.runs.runs import find_run, get_run
from db.schema.models import Outcome
from flows.calibration.engine import recording_failure
from flows.config.redaction import redact, without_secrets
from flows.home.home import Home, own_home
from flows.orchestration.parameters import Asked, WrongParameterError, asked_again, checked, next_run
from flows.orchestration.shown.artifacts import publish
from flows.orchestration.shown.findings import OnRecord
from flows.orchestration.shown.report import summary
from flows.orchestration.slots import cluster_slot, slot
from flows.orchestration.tasks import PATIENT, URGENT, Chain, cluster_threads
from flows.runs.begin import begin_run
from flows.runs.lacks import producing
from flows.runs.life import alive
from flows.runs.memory import needed, pixels_at_once
from flows.runs.pictures import are_drawn
from flows.runs.run import Run

PATIENCE = 10
"""What is added to the niceness of the run's process (0 at first, 19 at most) for work that nobody waits for."""


@flow(name="calibrate", version=version("ccdwatch"), persist_result=False, validate_parameters=False)
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
        try:
            asked = _asked(opened, checked(set_id, digest, attempt))
        except WrongParameterError as error:
            get_run_logger().error("%s", redact(error))
            return Failed(message=redact(error))
        if isinstance(asked, str):
            return _nothing_to_do(asked)
        with alive(opened.path, str(flow_run.id)):
            return _calibrate(opened, asked)


def _asked(home: Home, asked: Asked | int) -> Asked | str:
    """Return the run to be made, or why there is none."""
    return next_run(home, asked) if isinstance(asked, int) else asked_again(home, asked, str(flow_run.id))


def _nothing_to_do(why: str) -> State[None]:
    get_run_logger().info("%s", why)
    return Completed(name="Skipped", message=why)


def _calibrate(home: Home, asked: Asked) -> State[None]:
    chain = _results(home, asked) or _without_pictures(home, asked)
    if chain is None:
        return _nothing_to_do("Nothing to do: this run was made before, or more frames came since it was asked for")
    os.nice(PATIENCE)
    chain.do(PATIENT)
    for line in summary(home, chain.run_id):
        get_run_logger().info(line)
    with producing(Run(home, chain.run_id), "report"):
        publish(home, chain.run_id)
    with home.read_session() as session:
        run = get_run(session, chain.run_id)
    return Failed(message=run.message) if run.is_done_in_part else OnRecord.of(home, run.id).state()


def _results(home: Home, asked: Asked) -> Chain | None:
    """Claim the run and do what somebody waits for; None where there is nothing to do."""
    with home.read_session() as session:
        n_pixels = pixels_at_once(home, session, asked.set_id)
    with _room(home, n_pixels):
        run_id = begin_run(
            home,
            set_id=asked.set_id,
            digest=asked.digest,
            attempt=asked.attempt,
            engine="prefect",
            flow_run_id=str(flow_run.id),
        )
        if run_id is None:
            return None
        chain = Chain(home, run_id)
        with recording_failure(home, run_id, reraise=True):
            chain.do(URGENT)
    return chain


def _room(home: Home, n_pixels: int) -> AbstractContextManager[None]:
    """Return what waits for room for a set: on this machine, or on the cluster that does its steps."""
    n_threads = cluster_threads(home.settings.prefect)
    return slot(home.path, needed(n_pixels)) if n_threads is None else cluster_slot(home.path, n_threads)


def _without_pictures(home: Home, asked: Asked) -> Chain | None:
    """Return this run if it was made, but killed before its pictures were drawn."""
    with home.read_session() as session:
        run = find_run(session, set_id=asked.set_id, digest=asked.digest, attempt=asked.attempt)
    return Chain(home, run.id) if run and run.outcome is Outcome.DONE and not are_drawn(home, run.id) else None
