"""`serve`: the process that runs flows when the Prefect server schedules them.

A flow run needs a process of its own, so that it can be cancelled and so that a crash takes nothing else
along. Prefect spawns one and lets it import everything, which costs 4 s and 3 s of processor time a run.
Here it is forked from a server process that has already imported everything and holds no threads: 0.3 s.
It ends with the process that asked for it, so that no run goes on unseen when that one is killed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerProcess, SpawnContext
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import httpx
from prefect import Flow
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runner import Runner

from flows.config.settings import load_settings
from flows.orchestration.calibrate import calibrate
from flows.orchestration.deployments import register
from flows.orchestration.ingest import ingest
from flows.orchestration.slots import SLOTS
from flows.prefect_server.client import DEPLOYMENT, PrefectApi, PrefectUnavailableError
from flows.prefect_server.password import password_of
from flows.runs.life import elsewhere

PRELOADED = (
    "alembic.command",
    "astropy.io.fits",
    "ccdcore.io.read",
    "ccdcore.masters.build",
    "ccdcore.photon_transfer.measure",
    "ccdcore.figures.style",
    "ccdcore.frames.series_health",
    "flows.orchestration.calibrate",
    "flows.orchestration.ingest",
    "flows.orchestration.runner",
    "flows.orchestration.preload",
    "flows.registration.preload",
    "prefect.flow_engine",
    "scipy.stats",
    "sqlalchemy.dialects.sqlite",
)


PRELOADED_FOR_DASK = ("prefect_dask.task_runners",)
"""What takes a second, and is needed only where steps run on a cluster."""
MOST_ON_A_CLUSTER = 64
"""Flow processes at a time that wait for a cluster, or for a thread of it: they take little here."""
LOOK_SECONDS = 10.0
"""How often it is looked whether the server still knows our flows."""

Upkeep: TypeAlias = Mapping[Flow[..., Any], str | None]
"""Flows that nobody waits for, and when they run by themselves, if they do, as a line of cron."""

logger = logging.getLogger(__name__)


def serve(home: Path, api_url: str, *, upkeep: Upkeep) -> None:
    """Register our flows with the server and run what it schedules, until SIGTERM or SIGINT.

    Parameters
    ----------
    home : Path
        The home that the flow runs work on.
    api_url : str
        Address of the Prefect API; waited for where it does not answer yet.
    upkeep : mapping of Flow to str or None
        Flows beside those that the service cannot work without.
    """
    is_dask = load_settings(home).prefect.task_runner == "dask"
    _warm_up([*PRELOADED, *PRELOADED_FOR_DASK] if is_dask else PRELOADED)
    with PrefectApi(api_url, password=password_of(home, api_url), patience_seconds=math.inf) as api:
        _mark_orphans(home, api)
    SpawnContext.Process = _FlowProcess  # type: ignore[assignment]  # Prefect offers no choice of process
    asyncio.run(_serve(home, api_url, upkeep, most=MOST_ON_A_CLUSTER if is_dask else 4 * SLOTS))


def _mark_orphans(home: Path, api: PrefectApi) -> None:
    """Tell the server that the runs it believes to be under way ended with the process that served them before.

    Those of other machines may go on; of one that is gone, who listens to their signs of life tells.
    """
    others = elsewhere(home)
    for flow_run_id in api.under_way(home):
        if flow_run_id not in others:
            api.mark_crashed(flow_run_id, "the process that worked on it is gone")


async def _serve(home: Path, api_url: str, upkeep: Upkeep, *, most: int) -> None:
    # New frames never wait for a calibration, nor one that measures for those that draw.
    runners: dict[Flow[..., Any], Runner] = {ingest: _runner(limit=1), calibrate: _runner(limit=most)}
    runners |= {flow: _runner(limit=1, query_seconds=5.0) for flow in upkeep}
    ids = {flow: await register(runner, flow, cron=upkeep.get(flow)) for flow, runner in runners.items()}
    with PrefectApi(api_url, password=password_of(home, api_url)) as api:
        await _serve_until_told(runners, _keep_registered(runners, ids, upkeep, api))


async def _serve_until_told(runners: Mapping[Flow[..., Any], Runner], keeping: Awaitable[None]) -> None:
    serving = asyncio.gather(*(runner.start() for runner in runners.values()), keeping)
    await asyncio.sleep(0)  # a runner sets its own SIGTERM handler first, which ends in tracebacks; ours comes after
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return


def _runner(*, limit: int, query_seconds: float = 0.5) -> Runner:
    return Runner(name=DEPLOYMENT, limit=limit, pause_on_shutdown=False, query_seconds=query_seconds)


async def _keep_registered(
    runners: Mapping[Flow[..., Any], Runner], ids: Mapping[Flow[..., Any], str], upkeep: Upkeep, api: PrefectApi
) -> None:
    """Register our flows anew where the server has lost them: deleted by somebody, or with its whole database."""
    known = dict(ids)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for flow, runner in runners.items():
            with suppress(PrefectUnavailableError, PrefectHTTPStatusError, httpx.HTTPError):
                if await asyncio.to_thread(api.deployment_id, flow.name) != known[flow]:
                    known[flow] = await register(runner, flow, cron=upkeep.get(flow))
                    logger.warning("Prefect did not know the flow %s any more: it is registered anew", flow.name)


def _warm_up(modules: Sequence[str]) -> None:
    """Start the server process that flow runs are forked from, and let it import everything now."""
    multiprocessing.set_forkserver_preload(list(modules))
    multiprocessing.get_context("forkserver").Process(target=int).start()


class _FlowProcess(ForkServerProcess):
    """The process of a flow run, forked where Prefect asks for one to be spawned."""

    def run(self) -> None:
        """Do the work, and end in the midst of it when the process that asked for it ends."""
        Thread(target=_end_with_parent, daemon=True).start()
        super().run()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
