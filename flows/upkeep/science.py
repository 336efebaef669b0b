"""The Prefect flow that calibrates science frames which landed, each with the masters that suit it best."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from math import prod

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from ccdcore.association.facts import KINDS
from ccdcore.frames.frame import SeriesFrame
from ccdcore.text import number_of, one_line, value_text
from db.frames.series import frames_on_disk
from flows.applying.calibrating.calibrate import Calibration
from flows.applying.calibrating.due import MOST, due
from flows.applying.calibrating.science import calibrate_science
from flows.config.redaction import redact, without_secrets
from flows.home.home import Home, cached_home, own_home
from flows.home.processes import now
from flows.orchestration.calibrate import PATIENCE
from flows.orchestration.shown.progress import Progress
from flows.orchestration.shown.report import MOST_ROWS, more, text
from flows.orchestration.slots import noted, slot
from flows.runs.life import alive
from flows.runs.plan import cameras_at_work

_BECAME = {"calibrated": "calibrated", "stands": "as they were", "failed": "not calibrated"}
_MOST_REASONS = 3


@task(
    name="calibrate science frames",
    description="Choose the masters of each frame, calibrate it, and put on record what became of it.",
    task_run_name="science frames of {instrument} {night}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def calibrate_night(home: str, instrument: str, night: str, frame_ids: Sequence[int]) -> list[Calibration]:
    """Calibrate frames of a camera and a night; say of each what it was calibrated with, or why it was not."""
    with without_secrets():
        logger, shown, found = get_run_logger(), Progress(n_steps=len(frame_ids)), []
        flow_run_id = str(flow_run.id)
        for one in calibrate_science(cached_home(home), instrument, frame_ids, flow_run_id=flow_run_id):
            found.append(one)
            if len(found) <= MOST_ROWS:
                say = logger.warning if one.state == "failed" else logger.info
                say("%s", redact(one_line(f"{one.file}: {_words(one)}")))
            shown.step(one.file)
    return found


@flow(name="science", version=version("ccdwatch"), persist_result=False)
def science(frame_ids: list[int] | None = None, home: str | None = None) -> State[None]:
    """Calibrate science frames with the masters that suit them best, and tell which were used.

    Parameters
    ----------
    frame_ids : list of int, optional
        Ids of frames, as ccdwatch frames lists them. Without it, as where somebody asks in the Prefect UI, all science
        frames that landed in the last days and were not tried with the masters that there are now.
    home : str, optional
        Id of the home that it is for. A run for another home than that of its process is refused.

    Returns
    -------
    State
        How many were calibrated, and why others were not, in its message; what was used is a table among the artifacts.
        Failed where something went wrong that was not foreseen; a frame that lacks a master waits for one.
    """
    with without_secrets():
        opened = own_home(home)
        os.nice(PATIENCE)
        frames = _frames(opened, frame_ids)
        n_pixels = sum(prod(one.shape) for one in frames.values())
        name = f"the run that calibrates {number_of(len(frames), 'science frame')}"
        key = str(flow_run.id)
        with alive(opened.path, key), slot(opened.path), noted(opened.path, key, name, n_pixels=n_pixels):
            found = _calibrate(opened, frames)
        if not found:
            return Completed(name="Skipped", message="Nothing to do: nothing is due, or sets of the camera are at work")
        _publish(found)
        message = redact(summary(found))
        has_failed = any(one.state == "failed" and not one.lacking for one in found)
        return Failed(message=message) if has_failed else Completed(message=message)


def _frames(home: Home, frame_ids: Sequence[int] | None) -> dict[int, SeriesFrame]:
    """Return frames of some ids, or those that are due, in their order."""
    if frame_ids is None:
        frame_ids = [key for some in due(home, now()).frames.values() for key in some[:MOST]]
    with home.read_session() as session:
        found = frames_on_disk(session, frame_ids, host=home.settings.host)
    return {key: found[key] for key in frame_ids if key in found}


def _calibrate(home: Home, frames: Mapping[int, SeriesFrame]) -> list[Calibration]:
    """Calibrate frames, but of cameras of which sets are at work: better masters may come of these."""
    nights: dict[tuple[str, str], list[int]] = defaultdict(list)
    for key, frame in frames.items():
        night = home.settings.nights.night_of(frame.info)
        nights[frame.info.instrument, night.isoformat() if night else "undated"].append(key)
    at_work, found = cameras_at_work(home, now()), []
    for (instrument, of_night), some in nights.items():
        if instrument in at_work:
            get_run_logger().info("%s %s: waits, since sets of this camera are at work", instrument, of_night)
        else:
            found += calibrate_night(str(home.path), instrument, of_night, some)
    return found


def summary(found: Iterable[Calibration]) -> str:
    """Return what became of frames, in words: how many of each, and the most frequent reasons."""
    found = list(found)
    counts = Counter(one.state for one in found)
    reasons = Counter(one.reason for one in found if one.state == "failed" and one.reason)
    told = [f"{number_of(counts[state], 'frame')} {words}" for state, words in _BECAME.items() if counts[state]]
    why = [one_line(reason) for reason, _ in reasons.most_common(_MOST_REASONS)]
    return ": ".join(filter(None, [", ".join(told), "; ".join(why)]))


def _words(one: Calibration) -> str:
    if one.state == "failed":
        return f"not calibrated: {one.reason}"
    used = ", ".join(f"{kind} master:{one.masters[kind]}" for kind in KINDS if kind in one.masters)
    price = "" if one.price_e is None else f", which add {value_text(one.price_e)} e⁻ of noise"
    done = "calibrated with" if one.state == "calibrated" else "stays as it was, with"
    return f"{done} {used}{price}{f'; {one.reason}' if one.reason else ''}: {one.output}"


def _publish(found: Sequence[Calibration]) -> None:
    """Attach to the flow run what became of each frame, and which masters were used."""
    rows = [
        {
            "frame": text(one.file),
            "became": "as it was" if one.state == "stands" else text(_BECAME[one.state]),
            **{kind: text(f"master:{one.masters[kind]}" if kind in one.masters else "–") for kind in KINDS},
            "adds (e⁻)": text("–" if one.price_e is None else value_text(one.price_e)),
            "file": text(redact(one.output or "–")),
            "reason": text(redact(one.reason or "–")),
        }
        for one in found[:MOST_ROWS]
    ]
    rows += [{"frame": left}] if (left := more(len(found))) else []
    create_table_artifact(rows, key="science", description=text(redact(summary(found))))
