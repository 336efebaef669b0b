"""Runs asked of the Prefect server: by what name, by which key, and what it says became of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ccdcore.text import number_of
from db.runs.lifecycle import abandon_run
from flows.config.redaction import redact
from flows.home.home import Home, home_id
from flows.home.processes import now
from flows.prefect_server.client import FlowRunState, PrefectApi
from flows.runs.begin import begin_run
from flows.runs.plan import Plan, run_name


def ask_for_ingest(home: Home, api: PrefectApi, *, n_files: int, at: datetime) -> str:
    """Ask for a run that registers what is ready; return its id."""
    return api.submit(
        "ingest",
        name=f"ingest {number_of(n_files, 'file')}",
        parameters={"home": home_id(home.path)},
        tags=["ingest"],
        idempotency_key=f"ingest:{hashlib.sha256(at.isoformat().encode()).hexdigest()}",
    )


def ask_for_science(home: Home, api: PrefectApi, camera: str, frame_ids: Sequence[int], *, at: datetime) -> str:
    """Ask for a run that calibrates science frames of a camera; return its id."""
    which = f"{camera} {list(frame_ids)} {at.isoformat()}"
    return api.submit(
        "science",
        name=f"science {camera} {number_of(len(frame_ids), 'frame')}",
        parameters={"home": home_id(home.path), "frame_ids": list(frame_ids)},
        tags=[camera, "science"],
        idempotency_key=f"science:{hashlib.sha256(which.encode(errors='backslashreplace')).hexdigest()}",
    )


def ask_for_run(
    home: Home, api: PrefectApi, plan: Plan, *, pictures: bool = False, known_as: Path | None = None
) -> str:
    """Ask for the run of a plan; return the id of the flow run.

    Parameters
    ----------
    home : Home
        The open home.
    api : PrefectApi
        Its Prefect.
    plan : Plan
        The run.
    pictures : bool
        Whether it was made, and only its pictures are wanted.
    known_as : Path, optional
        The home as the service knows it, where that may be by another link.
    """
    return api.submit(
        "calibrate",
        name=run_name(plan.instrument, plan.night, plan.configuration, what="pictures" if pictures else "calibrate"),
        parameters={
            "home": home_id(known_as or home.path),
            "set_id": plan.set_id,
            "digest": plan.digest,
            "attempt": plan.attempt,
        },
        tags=[plan.instrument, plan.night.isoformat()],
        idempotency_key=f"{home.path}:{plan.key}{':pictures' if pictures else ''}",
    )


def run_by_prefect(home: Home, api: PrefectApi, plan: Plan) -> None:
    """Ask for the run of a plan and wait for its end."""
    flow_run_id = ask_for_run(home, api, plan, known_as=home.path.resolve())
    while (state := api.state(flow_run_id)) is not None and not state.is_final:
        time.sleep(0.3)
    record_never_started(home, plan, flow_run_id=flow_run_id, state=state)


def record_never_started(home: Home, plan: Plan, *, flow_run_id: str, state: FlowRunState | None) -> None:
    """Put on record that Prefect ended a run before it began, so that the next one is asked for by another key.

    That says nothing of its inputs: its process was killed, the database was away, or the configuration was edited
    between the request and the run. So it is made again, and is no attempt that failed.
    """
    run_id = begin_run(
        home,
        set_id=plan.set_id,
        digest=plan.digest,
        attempt=plan.attempt,
        engine="prefect",
        flow_run_id=flow_run_id,
    )
    if run_id is None:
        return
    with home.write_session() as session:
        if state and state.was_cancelled:
            abandon_run(session, run_id=run_id, now=now(), cancelled=cancelled(run_id, state))
        else:
            why = (state.message or state.type.lower()) if state else "Prefect lost it"
            abandon_run(session, run_id=run_id, now=now(), why=redact(f"ended before it began: {why}"))


def cancelled(run_id: int, state: FlowRunState) -> str:
    """Return what the record says of a run that somebody ended in Prefect."""
    return f"cancelled: {redact(state.message) or 'in Prefect'}; ccdwatch retry run:{run_id} makes it again"
