"""The claim of a run: its inputs are still those that were planned, and nobody else makes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from platform import python_version
from typing import Literal

from db.judgements.marks import bad_frames
from db.runs.lifecycle import claim_run
from flows.home.home import Home
from flows.home.processes import HOST, now, own_start
from flows.runs.plan import frames_of_set, inputs_digest

SOFTWARE = ("ccdwatch", "astropy", "ccdproc", "numpy", "scipy", "prefect")


def begin_run(
    home: Home,
    *,
    set_id: int,
    digest: str,
    attempt: int,
    engine: Literal["prefect", "local"],
    flow_run_id: str | None,
) -> int | None:
    """Claim a run; return its id, or None where there is nothing to do: somebody has it, or newer frames came."""
    with home.read_session() as session:
        own, borrowed = frames_of_set(session, home.settings, set_id)
        marked = bad_frames(session)
        instrument = own[0].info.instrument if own else ""
    if inputs_digest(home.settings, instrument, own, borrowed, marked) != digest:
        return None
    with home.write_session() as session:
        return claim_run(
            session,
            set_id=set_id,
            digest=digest,
            attempt=attempt,
            engine=engine,
            flow_run_id=flow_run_id,
            recipes=home.settings.recipes.describe(),
            software=software(),
            host=HOST,
            pid=os.getpid(),
            pid_started=own_start(),
            now=now(),
        )


@cache
def software() -> Mapping[str, str]:
    """Return the versions of all that results depend on."""
    return {"python": python_version(), **{name: version(name) for name in SOFTWARE}}
