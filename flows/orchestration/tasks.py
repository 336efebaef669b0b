"""The steps of a run as tasks of Prefect: each linked to the one before it, in this process or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID, uuid4

from prefect import State, Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import RunInput, TaskRunResult
from prefect.task_engine import run_task

from flows.calibration.steps import STEPS, Step, do
from flows.config.redaction import without_secrets
from flows.config.settings import PrefectSettings
from flows.home.home import Home, cached_home
from flows.orchestration.shown.findings import OnRecord
from flows.orchestration.shown.progress import Progress
from flows.runs.lacks import ProductFailedError
from flows.runs.run import Run

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner

StepTask: TypeAlias = Task[[str, int], State[None]]
Links: TypeAlias = dict[str, set[RunInput]]


def _task(step: Step) -> StepTask:
    """Wrap a step as a task that takes the home by its path, so that Prefect shows ids and words only."""

    def run(home: str, run_id: int) -> State[None]:
        with without_secrets():
            opened = cached_home(home)
            before = OnRecord.of(opened, run_id)
            try:
                do(step, Run(opened, run_id))
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


URGENT = [_task(step) for step in STEPS if step.is_urgent]
PATIENT = [_task(step) for step in STEPS if not step.is_urgent]


class Chain:
    """Runs tasks one after the other; the graph of the run shows them in this order.

    Parameters
    ----------
    home : Home
        The open home.
    run_id : int
        The run.
    """

    def __init__(self, home: Home, run_id: int) -> None:
        self.home = home
        self.run_id = run_id
        self._last: UUID | None = None
        self._progress = Progress(n_steps=len(STEPS))

    def do(self, tasks: Sequence[StepTask]) -> None:
        """Run these; a product that fails costs no other.

        Raises
        ------
        Exception
            What is no product's own trouble.
        """
        with _where_tasks_run(self.home.settings.prefect) as start:
            for task in tasks:
                self._last, wait = start(task, {"home": str(self.home.path), "run_id": self.run_id}, self._links)
                with suppress(ProductFailedError):
                    wait()
                self._progress.step(task.name)

    @property
    def _links(self) -> Links:
        # Of a parameter, for Prefect knows no others; not `wait_for`: that would keep a task from running whose
        # predecessor's product failed.
        return {} if self._last is None else {"run_id": {TaskRunResult(id=self._last)}}


def cluster_threads(settings: PrefectSettings) -> int | None:
    """Return how many threads the Dask cluster has that steps run on; None where they run on this machine."""
    if settings.task_runner == "threads" or settings.dask_address is None:
        return None
    with _runner_of(settings) as cluster:
        n_threads: dict[str, int] = cluster.client.nthreads()
    return max(1, sum(n_threads.values()))


def _runner_of(settings: PrefectSettings) -> DaskTaskRunner:
    """Return what runs tasks on the cluster: imported where there is one only, for it takes a second."""
    from prefect_dask.task_runners import DaskTaskRunner

    return DaskTaskRunner(address=settings.dask_address)


Start: TypeAlias = Callable[[StepTask, dict[str, object], Links], tuple[UUID, Callable[[], object]]]
"""Starts a task; returns the id of its run, and what waits for its end."""


@contextmanager
def _where_tasks_run(settings: PrefectSettings) -> Iterator[Start]:
    """Give what starts a task: in this process, or on a Dask cluster.

    Tasks follow one another, so a cluster makes no run quicker: it takes the work off this machine, and spreads sets.
    """
    if settings.task_runner == "threads":
        yield _start_here
        return
    with _runner_of(settings) as cluster:

        def start(task: StepTask, parameters: dict[str, object], links: Links) -> tuple[UUID, Callable[[], object]]:
            future = cluster.submit(task, parameters, dependencies=links)
            return future.task_run_id, future.result

        yield start


def _start_here(task: StepTask, parameters: dict[str, object], links: Links) -> tuple[UUID, Callable[[], object]]:
    """Prepare a task for this process: it runs while it is waited for."""
    key = uuid4()
    return key, lambda: run_task(task, task_run_id=key, parameters=parameters, dependencies=links)
