"""The local engine: the steps of a run, one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ccdcore.errors import ChangedFrameError
from db.runs.lifecycle import fail_run
from flows.calibration.steps import STEPS, do
from flows.config.redaction import redact
from flows.home.disk import is_disk_full
from flows.home.home import Home
from flows.home.lost_database import is_database_lost
from flows.home.processes import now
from flows.products.cleanup import give_up
from flows.runs.begin import begin_run
from flows.runs.lacks import ProductFailedError, in_words
from flows.runs.memory import out_of_memory
from flows.runs.plan import Plan
from flows.runs.run import Run
from flows.runs.verification import changed_input

if TYPE_CHECKING:
    from collections.abc import Iterator


def run_locally(
    home: Home, plan: Plan, *, progress: Callable[[str], None] | None = None, pictures: bool = True
) -> int | None:
    """Make the run of a plan without Prefect.

    Parameters
    ----------
    home : Home
        The open home.
    plan : Plan
        The set, and the digest of its inputs.
    progress : callable, optional
        Told the name of each step as it begins.
    pictures : bool
        Whether its pictures are drawn now; else they are when somebody looks at them.

    Returns
    -------
    int or None
        The run's id; None where it is not to be made, because somebody has it.
    """
    run_id = begin_run(
        home, set_id=plan.set_id, digest=plan.digest, attempt=plan.attempt, engine="local", flow_run_id=None
    )
    if run_id is None:
        return None
    run = Run(home, run_id, is_drawn=pictures)
    with recording_failure(home, run_id):
        for step in STEPS:
            if progress:
                progress(step.name)
            with suppress(ProductFailedError):
                do(step, run)
    return run_id


@contextmanager
def recording_failure(home: Home, run_id: int, *, reraise: bool = False) -> Iterator[None]:
    """Put on record why a run failed, so that it is tried again or shown, whichever engine runs it.

    One whose files changed under it is no failure: it is given up, and made again.
    """
    try:
        yield
    except Exception as error:
        message = in_words(error)
        if is_database_lost(error):  # no fault of the run: should even this not come to the record, its process ends
            give_up(home, run_id, why=redact(f"the database went away: {message}"))
            raise
        if changed := error if isinstance(error, ChangedFrameError) else changed_input(home, run_id):
            give_up(home, run_id, why=f"{changed}: the run is made again")
        else:
            if isinstance(error, MemoryError):
                message = out_of_memory(home, run_id, error)
            elif is_disk_full(error):
                message = f"the disk is full: make room on that of {home.path} ({message})"
            with home.write_session() as session:
                fail_run(session, run_id=run_id, message=redact(message), now=now())
        if reraise:
            raise
