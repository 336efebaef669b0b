"""The process that runs flows: those that the service cannot work without, and those of upkeep."""

from __future__ import annotations

from pathlib import Path

from flows.orchestration import runner
from flows.upkeep.audit import audit
from flows.upkeep.backfill import backfill
from flows.upkeep.report import NIGHTLY, report
from flows.upkeep.science import science


def serve(home: Path, api_url: str) -> None:
    """Register all flows with the server and run what it schedules, until SIGTERM or SIGINT.

    Parameters
    ----------
    home : Path
        The home that the flow runs work on.
    api_url : str
        Address of the Prefect API; waited for where it does not answer yet.
    """
    runner.serve(home, api_url, upkeep={science: None, backfill: None, audit: None, report: NIGHTLY})
