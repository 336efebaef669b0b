"""Science frames that landed, calibrated by the service, and what became of each put on record."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ccdcore.application.ingredients import why_not
from db.application.science import choices_of, record_try
from db.frames.series import frames_on_disk
from flows.applying.calibrating.calibrate import Calibration, Wanted, calibrate_frames
from flows.applying.calibrating.due import rules_of
from flows.applying.calibrating.outputs import paths_for
from flows.config.redaction import redact
from flows.home.processes import now
from flows.products.figures import complete_figures

if TYPE_CHECKING:
    from flows.applying.calibrating.frames import Progress
    from flows.home.home import Home


def calibrate_science(
    home: Home,
    instrument: str,
    frame_ids: Collection[int],
    *,
    flow_run_id: str | None = None,
    progress: Progress = lambda *_: None,
) -> Iterator[Calibration]:
    """Calibrate raw science frames of a camera in their places, where that was not done with the same masters.

    Parameters
    ----------
    home : Home
        The open home.
    instrument : str
        The camera; frames of others, and those that are none to be calibrated, are passed over.
    frame_ids : collection of int
        Which.
    flow_run_id : str, optional
        Who does it, for the record.
    progress : callable, optional
        Told how the work goes on.

    Yields
    ------
    Calibration
        What became of each, the oldest first; on record by then.
    """
    complete_figures(home, instruments={instrument}, progress=progress)
    with home.read_session() as session:
        choices = choices_of(session, instrument, rules=rules_of(home, instrument))
        found = frames_on_disk(session, frame_ids, host=home.settings.host)
    frames = {
        key: found[key]
        for key in frame_ids
        if key in found and found[key].info.instrument == instrument and why_not(found[key].info) is None
    }
    paths, without = paths_for(home, frames, None), frozenset[str](home.settings.science.allow_missing)
    wanted = [Wanted(key, one, paths[key], "adu", without, again="changed") for key, one in frames.items()]
    for one in calibrate_frames(home, wanted, engine="prefect", flow_run_id=flow_run_id, progress=progress):
        has_failed = one.state == "failed"
        with home.write_session() as session:
            record_try(
                session,
                one.frame_id,
                choices=choices,
                reason=redact(one.reason or "") if has_failed else None,
                is_failure=has_failed and not one.lacking,
                now=now(),
            )
        yield one
