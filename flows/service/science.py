"""Asks Prefect for the runs that calibrate science frames which landed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.application.science import choices_of, record_try
from flows.applying.calibrating.due import MOST, Due, due, rules_of
from flows.config.redaction import redact
from flows.home.home import Home
from flows.home.processes import now
from flows.orchestration.requests import ask_for_science
from flows.prefect_server.client import FlowRunState, PrefectApi
from flows.retries import CUT_SHORT_RUN, FAILED_RUN
from flows.runs.plan import cameras_at_work

logger = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(seconds=2)
"""How soon it is looked again whether sets are still at work that frames wait for."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for of a camera: which frames, when, and how often in vain before."""

    flow_run_id: str
    frame_ids: tuple[int, ...]
    at: datetime
    in_vain: int


class ScienceRuns:
    """Asks for a run for the frames of a camera that are due, one after the other.

    Parameters
    ----------
    home : Home
        The open home.
    api : PrefectApi
        Its Prefect.
    """

    def __init__(self, home: Home, api: PrefectApi) -> None:
        self._home = home
        self._api = api
        self._asked: dict[str, _Asked] = {}

    def forget(self) -> None:
        """Wait for no time that was told by a clock that was ahead."""
        self._asked.clear()

    def due(self, at: datetime) -> Due | None:
        """Return which frames are due; None where the configuration wants none to be calibrated by itself.

        To be asked for before it is looked which sets lack something: of what is read by now these know.
        """
        return due(self._home, at) if self._home.settings.science.calibrate else None

    def ask(self, found: Due | None, at: datetime) -> datetime | None:
        """Ask for the runs of cameras of which no set is at work; return when to look again."""
        if found is None:
            return None
        if not found.frames:
            return found.later
        at_work = cameras_at_work(self._home, at)
        for camera, frame_ids in found.frames.items():
            if camera not in at_work:
                self._ask(camera, frame_ids[:MOST], at)
        again = at + LOOK_AGAIN if at_work & found.frames.keys() else None
        return min(filter(None, [found.later, again]), default=None)

    def _ask(self, camera: str, frame_ids: tuple[int, ...], at: datetime) -> None:
        asked, in_vain = self._asked.get(camera), 0
        if asked is not None:
            state = self._api.state(asked.flow_run_id)
            if state is not None and not state.is_final:
                return
            if asked.frame_ids == frame_ids:
                if state is not None and state.was_cancelled:
                    self._leave(camera, frame_ids, state)
                    return
                is_done = state is not None and state.type == "COMPLETED"
                in_vain = 0 if is_done else asked.in_vain + 1
                pauses = CUT_SHORT_RUN if state is None or state.was_cut_short else FAILED_RUN
                if at < asked.at + timedelta(seconds=pauses.after(in_vain or 1)):
                    return
        flow_run_id = ask_for_science(self._home, self._api, camera, frame_ids, at=at)
        self._asked[camera] = _Asked(flow_run_id, frame_ids, at, in_vain)
        logger.info("asked for %d science frames of %s: flow run %s", len(frame_ids), camera, flow_run_id)

    def take_back(self, flow_run_id: str, why: str, at: datetime) -> None:
        """Put on record that a run was ended before it had tried all of its frames, and why."""
        camera = next((one for one, asked in self._asked.items() if asked.flow_run_id == flow_run_id), None)
        if camera is not None:
            left = due(self._home, at).frames.get(camera, ())
            frame_ids = [one for one in self._asked[camera].frame_ids if one in left]
            todo = "when the folder of these frames answers, ccdwatch calibrate FRAME does it"
            self._record(camera, frame_ids, f"{why} and was ended: {todo}", is_failure=True)

    def _leave(self, camera: str, frame_ids: tuple[int, ...], state: FlowRunState) -> None:
        """Put on record that somebody does not want these frames to be calibrated now."""
        why = f"cancelled: {redact(state.message) or 'in Prefect'}; ccdwatch calibrate FRAME does it"
        self._record(camera, frame_ids, why, is_failure=False)

    def _record(self, camera: str, frame_ids: Sequence[int], why: str, *, is_failure: bool) -> None:
        with self._home.write_session() as session:
            choices = choices_of(session, camera, rules=rules_of(self._home, camera))
            for one in frame_ids:
                record_try(session, one, choices=choices, reason=why, is_failure=is_failure, now=now())
