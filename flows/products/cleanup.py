"""Tidying up after processes that are gone: their runs are given up, and what they left goes."""

from __future__ import annotations

from datetime import timedelta

from db.runs.lifecycle import PROCESS_GONE, abandon_run
from db.runs.runs import RunRow, open_runs
from flows.home.home import Home
from flows.home.processes import HOST, is_gone, now
from flows.products.leftovers import remove_leftovers, words_of_unregistered
from flows.products.references import refresh_references
from flows.registration.register import free_lost_claims
from flows.runs.plan import has_passed

RUN_LEASE = timedelta(hours=2)
"""How long a run on another machine may take: of a machine that died nobody tells."""


def sweep(home: Home) -> list[str]:
    """Tidy up after a crash: give up the work of processes that are gone, remove what it certainly left.

    Returns what was done, and what else should be known, in words.
    """
    home.require_there()
    free_lost_claims(home)
    done = give_up_lost_runs(home) + remove_leftovers(home, now())
    refresh_references(home)
    return done + words_of_unregistered(home)


def give_up_lost_runs(home: Home) -> list[str]:
    """End the runs whose process on this machine is gone, so that they are made again; return that in words."""
    with home.read_session() as session:
        lost = [run for run in open_runs(session) if is_lost(run)]
    for run in lost:
        give_up(home, run.id)
    return [f"run {run.id} was cut short; it will be made again" for run in lost]


def is_lost(run: RunRow) -> bool:
    """Whether the process that worked on a run is gone from this machine, or silent for too long on another one."""
    if run.host == HOST:
        return is_gone(run.pid, run.pid_started)
    return has_passed(run.began_at, RUN_LEASE, now())


def give_up(home: Home, run_id: int, *, cancelled: str | None = None, why: str = PROCESS_GONE) -> None:
    """End a run that was cut short, so that it is made again unless it was cancelled; its files go later."""
    with home.write_session() as session:
        abandon_run(session, run_id=run_id, now=now(), cancelled=cancelled, why=why)
