"""`serve`: the process that runs flows when the Prefect server schedules them.

A flow run needs a process of its own, so that it can be cancelled and so that a crash takes nothing else
along. Prefect spawns one and lets it import everything, which costs 4 s and 3 s of processor time a run.
Here it is forked from a server process that has already imported everything and holds no threads: 0.3 s.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from prefect.flow_engine import run_flow_in_subprocess
from prefect.runner import Runner, _starter_direct

from flows.calibrate import calibrate
from flows.ingest import ingest
from flows.prefect_api import DEPLOYMENT, PrefectApi

PRELOADED = (
    "astropy.io.fits",
    "ccdcore.fits_io",
    "ccdcore.masters",
    "ccdcore.photon_transfer",
    "ccdcore.plots",
    "ccdcore.series_health",
    "flows.calibrate",
    "flows.ingest",
    "prefect.flow_engine",
    "scipy.stats",
)


def serve(api_url: str, *, limit: int) -> None:
    """Register our flows with the server and run what it schedules, until SIGTERM or SIGINT.

    Parameters
    ----------
    api_url : str
        Address of the Prefect API; waited for where it does not answer yet.
    limit : int
        Flow runs at the same time.
    """
    _warm_up()
    with PrefectApi(api_url) as api:
        while not api.is_ready():
            time.sleep(0.2)
    with patch.object(_starter_direct, "run_flow_in_subprocess", _run_flow_in_forked_process):
        asyncio.run(_serve(limit))


async def _serve(limit: int) -> None:
    runner = Runner(name=DEPLOYMENT, limit=limit, pause_on_shutdown=False, query_seconds=0.5)
    for flow in (ingest, calibrate):
        await runner.aadd_flow(flow, name=DEPLOYMENT)
    serving = asyncio.ensure_future(runner.start())
    await asyncio.sleep(0)  # the runner sets its own SIGTERM handler first, which ends in tracebacks; ours comes after
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return


def _warm_up() -> None:
    """Start the server process that flow runs are forked from, and let it import everything now."""
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    multiprocessing.get_context("forkserver").Process(target=int).start()


@contextmanager
def _forking() -> Iterator[None]:
    context = multiprocessing.get_context("forkserver")
    with patch.object(multiprocessing, "get_context", return_value=context):
        yield


def _run_flow_in_forked_process(*args: Any, **options: Any) -> Any:
    """Do what Prefect's function of the same task does, with a forked process in place of a spawned one."""
    with _forking():
        return run_flow_in_subprocess(*args, **options)
