"""Reading what a calibration set has and what was made of it: what decides on the next run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from ccdcore.geometry import Amplifier, Section
from ccdcore.header import ExposureInfo
from ccdcore.instrument import FrameType
from ccdcore.series import SeriesFrame
from ccdcore.statistics import FrameStatistics
from db.kept_masters import standing
from db.models import CalibrationSet, File, FileState, Frame, Measurement, Outcome, Run
from db.spans import boundaries, span_around
from db.statements import batches

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_PAUSE_S = 3600.0
"""An interval as long as this is a pause between series, not the rhythm of one."""


@dataclass(frozen=True, slots=True)
class LatestRun:
    """The last run that began on a set; its outcome is None while it works."""

    id: int
    digest: str
    attempt: int
    outcome: Outcome | None
    message: str | None
    began_at: datetime
    ended_at: datetime | None

    @property
    def is_done(self) -> bool:
        """Whether it is done, and no product failed."""
        return self.outcome is Outcome.DONE and self.message is None


@dataclass(frozen=True, slots=True)
class SetSummary:
    """A calibration set at a glance.

    Parameters
    ----------
    id : int
        Of the set.
    instrument, configuration : str
        What makes its frames comparable.
    window_first_night, window_nights : date, int
        Its window of nights.
    counts : mapping of FrameType to int
        Its frames by type; no entry for a type without frames.
    last_joined_at : datetime
        When its last frame arrived on disk.
    last_registered_at : datetime
        When its last frame was registered, or what its frames are last changed.
    median_interval_s : float or None
        Median time between arrivals in seconds, pauses of an hour left out.
    latest_run : LatestRun or None
        The last run that began on it.
    """

    id: int
    instrument: str
    configuration: str
    window_first_night: date
    window_nights: int
    counts: Mapping[FrameType, int]
    last_joined_at: datetime
    last_registered_at: datetime
    median_interval_s: float | None
    latest_run: LatestRun | None


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has begun and not ended; `pid_started` tells its process from a later one of the same pid."""

    id: int
    calibration_set_id: int
    digest: str
    attempt: int
    engine: str
    flow_run_id: str | None
    host: str
    pid: int
    pid_started: float
    began_at: datetime


@dataclass(frozen=True, slots=True)
class GainOnRecord:
    """A gain measured before, in electrons per ADU."""

    measurement_id: int
    gain_e_per_adu: float
    gain_uncertainty: float | None
    observed_at: datetime


def on_disk(host: str) -> ColumnElement[bool]:
    """Whether a file of ``host`` holds the frame: one whose file was edited since has left its set."""
    return select(File.id).where(File.frame_id == Frame.id, File.host == host).exists()


def set_frames(session: Session, set_id: int, *, host: str) -> list[SeriesFrame]:
    """Return the frames of a set whose pixels can be read on ``host``, in order of observation."""
    query = (
        select(Frame, File.root, File.relative_path)
        .join(File, File.frame_id == Frame.id)
        .where(Frame.calibration_set_id == set_id, File.host == host)
        .order_by(Frame.date_obs, Frame.id, File.id.desc())
        .execution_options(populate_existing=True)
    )
    held: dict[int, tuple[Frame, list[Path]]] = {}
    for frame, root, below in session.execute(query):
        held.setdefault(frame.id, (frame, []))[1].append(Path(root) / below)
    return [series_frame(frame, _one_of(paths)) for frame, paths in held.values()]


def _one_of(paths: Sequence[Path]) -> Path:
    """Return the file to read a frame from: of several, the one seen last that is still there."""
    return paths[0] if len(paths) == 1 else next((path for path in paths if path.exists()), paths[0])


def series_frame(frame: Frame, path: Path) -> SeriesFrame:
    """Return a frame on record as ccdcore sees it, with its pixels at ``path``."""
    known = {name: getattr(frame, name) for name in ExposureInfo.__dataclass_fields__}
    return SeriesFrame(
        sha256=frame.sha256,
        path=path,
        shape=(frame.rows, frame.columns),
        info=ExposureInfo(**{**known, "frame_type": FrameType(frame.frame_type)}),
        amplifiers=tuple(_amplifier(one) for one in frame.amplifiers),
        statistics=tuple(_statistics(one) for one in frame.statistics),
    )


def _amplifier(stored: Mapping[str, Any]) -> Amplifier:
    overscan = stored["overscan"]
    return Amplifier(stored["name"], Section.parse(stored["data"]), overscan and Section.parse(overscan))


def _statistics(stored: Mapping[str, Any]) -> FrameStatistics:
    """Bring back NaN, which is stored as null, wherever null is no value of the field."""
    values: dict[str, Any] = {
        name: nan if value is None and not name.startswith("overscan") else value for name, value in stored.items()
    }
    return FrameStatistics(**values)


def nearest_bias_set(session: Session, *, set_id: int, reach_nights: int, host: str) -> int | None:
    """Return the set whose biases are nearest in time to the window of ``set_id``.

    It is of the same instrument and configuration, has two biases at least (read
    noise comes from a difference), and one of them was taken no more than
    ``reach_nights`` nights outside the window. Of two as near, the earlier. No
    bias is lent to a time at which another entry of the instrument holds.
    """
    own = session.get_one(CalibrationSet, set_id)
    first = own.window_first_night
    last = first + timedelta(days=max(own.window_nights, 1) - 1)
    taken_at = session.scalar(select(func.min(Frame.date_obs)).where(Frame.calibration_set_id == set_id))
    since, until = _span(session, own.instrument, taken_at)
    reach = timedelta(days=reach_nights)
    query = (
        select(CalibrationSet.id, func.min(Frame.night), func.max(Frame.night))
        .join(Frame, Frame.calibration_set_id == CalibrationSet.id)
        .where(
            CalibrationSet.instrument == own.instrument,
            CalibrationSet.configuration == own.configuration,
            CalibrationSet.id != set_id,
            Frame.frame_type == FrameType.BIAS,
            Frame.night.between(first - reach, last + reach),
            *([] if since is None else [Frame.date_obs >= since]),
            *([] if until is None else [Frame.date_obs < until]),
            on_disk(host),
        )
        .group_by(CalibrationSet.id)
        .having(func.count() > 1)
    )
    near = [
        (max((first - newest).days, (oldest - last).days, 0), oldest, candidate)
        for candidate, oldest, newest in session.execute(query)
        if oldest is not None and newest is not None
    ]
    return min(near)[2] if near else None


def _span(session: Session, instrument: str, at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return when the entry that holds at a time began and ends to hold; None where no other one holds."""
    return (None, None) if at is None else span_around(boundaries(session, instrument).get(instrument, ()), at)


def set_summaries(
    session: Session, *, host: str, since: date | None = None, believed_until: datetime | None = None
) -> list[SetSummary]:
    """Return the sets that have frames on ``host``, oldest window first.

    Parameters
    ----------
    since : date or None
        Leave out windows that begin before this night.
    believed_until : datetime or None
        Frames that arrived after it did so by a clock that was ahead: long ago, for all that is known.
    """
    in_reach = [] if since is None else [CalibrationSet.window_first_night >= since]
    arrivals: dict[int, list[tuple[datetime, datetime, FrameType]]] = defaultdict(list)
    frames = (
        select(Frame.calibration_set_id, Frame.joined_at, Frame.registered_at, Frame.frame_type)
        .join(CalibrationSet)
        .where(*in_reach, on_disk(host))
    )
    for set_id, joined_at, registered_at, frame_type in session.execute(frames):
        arrivals[set_id or 0].append((joined_at, registered_at, FrameType(frame_type)))
    last = aliased(Run)
    newest = select(func.max(last.id)).where(last.calibration_set_id == CalibrationSet.id).scalar_subquery()
    sets = (
        select(CalibrationSet, Run)
        .outerjoin(Run, Run.id == newest)
        .where(*in_reach)
        .order_by(CalibrationSet.window_first_night, CalibrationSet.id)
        .execution_options(populate_existing=True)
    )
    found = [(one, run) for one, run in session.execute(sets) if one.id in arrivals]
    return [_summary(one, run, arrivals[one.id], believed_until) for one, run in found]


def _summary(
    one: CalibrationSet,
    run: Run | None,
    arrivals: list[tuple[datetime, datetime, FrameType]],
    believed_until: datetime | None,
) -> SetSummary:
    joined = sorted(arrival[0] for arrival in arrivals)
    if believed_until is not None:
        joined = [at for at in joined if at <= believed_until] or [_LONG_AGO]
    gaps = [(after - before).total_seconds() for before, after in pairwise(joined)]
    rhythm = [gap for gap in gaps if gap < _PAUSE_S]
    types = [arrival[2] for arrival in arrivals]
    return SetSummary(
        id=one.id,
        instrument=one.instrument,
        configuration=one.configuration,
        window_first_night=one.window_first_night,
        window_nights=one.window_nights,
        counts={kind: types.count(kind) for kind in FrameType if kind in types},
        last_joined_at=joined[-1],
        last_registered_at=max([*(arrival[1] for arrival in arrivals), *filter(None, [one.changed_at])]),
        median_interval_s=median(rhythm) if rhythm else None,
        latest_run=run if run is None else _latest_run(run),
    )


def _latest_run(run: Run) -> LatestRun:
    return LatestRun(run.id, run.digest, run.attempt, run.outcome, run.message, run.began_at, run.ended_at)


def attempts(session: Session, *, set_id: int, digest: str) -> int:
    """Return the highest attempt that was made at this digest of a set; 0 where none was."""
    query = select(func.max(Run.attempt)).where(Run.calibration_set_id == set_id, Run.digest == digest)
    return session.scalar(query) or 0


def open_runs(session: Session) -> list[OpenRun]:
    """Return the runs that have begun and not ended, oldest first."""
    columns = [getattr(Run, name) for name in OpenRun.__dataclass_fields__]
    query = select(*columns).where(Run.outcome.is_(None)).order_by(Run.id)
    return [OpenRun(*row) for row in session.execute(query)]


def pixels_of(session: Session, set_ids: Collection[int]) -> dict[int, int]:
    """Return how many pixels the frames of these sets have."""
    query = select(Frame.calibration_set_id, func.sum(Frame.rows * Frame.columns)).group_by(Frame.calibration_set_id)
    return {key or 0: int(n) for key, n in session.execute(query.where(Frame.calibration_set_id.in_(set_ids)))}


def largest_frames(session: Session, set_ids: Collection[int]) -> dict[int, int]:
    """Return how many pixels the largest frame of each of these sets has."""
    query = select(Frame.calibration_set_id, func.max(Frame.rows * Frame.columns)).group_by(Frame.calibration_set_id)
    return {key or 0: int(n) for key, n in session.execute(query.where(Frame.calibration_set_id.in_(set_ids)))}


def lately_done(session: Session, *, since: datetime) -> list[OpenRun]:
    """Return the runs whose results stand and that ended since a time, with the processes that worked on them.

    Those that lack a product that failed are not among them: they are made again.
    """
    columns = [getattr(Run, name) for name in OpenRun.__dataclass_fields__]
    standing = Run.outcome == Outcome.DONE, Run.superseded_by_id.is_(None), Run.ended_at >= since, Run.message.is_(None)
    return [OpenRun(*row) for row in session.execute(select(*columns).where(*standing).order_by(Run.id))]


def earlier_gains(
    session: Session, *, instrument: str, configuration: str, amplifier: str, before: datetime, most: int
) -> list[GainOnRecord]:
    """Return the last gains on record that were observed before a time, with the entry that holds then, last first."""
    since, _ = _span(session, instrument, before)
    query = (
        select(Measurement.id, Measurement.value, Measurement.uncertainty, Measurement.observed_at)
        .join(Run, Measurement.run_id == Run.id)
        .join(CalibrationSet)
        .where(
            Measurement.quantity == "gain",
            Measurement.amplifier == amplifier,
            Measurement.observed_at < before,
            *([] if since is None else [Measurement.observed_at >= since]),
            Run.outcome == Outcome.DONE,
            standing(session),
            CalibrationSet.instrument == instrument,
            CalibrationSet.configuration == configuration,
        )
        .order_by(Measurement.observed_at.desc(), Measurement.id.desc())
        .limit(most)
    )
    return [GainOnRecord(*row) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class FileFrame:
    """A file and, once it has been read, what its frame was taken for and the set it went to."""

    file_id: int
    path: Path
    state: FileState
    reason: str | None
    frame_type: FrameType | None
    frame_type_reason: str | None
    set_id: int | None
    date_obs: datetime | None
    joined_at: datetime | None

    @property
    def is_calibration(self) -> bool:
        """Whether it holds a bias, dark or flat."""
        return self.frame_type not in {None, FrameType.OTHER}


def frames_of_files(session: Session, file_ids: Collection[int]) -> list[FileFrame]:
    """Return what these files hold, in the order of their paths."""
    query = select(
        File.id,
        File.root,
        File.relative_path,
        File.state,
        File.reason,
        Frame.frame_type,
        Frame.frame_type_reason,
        Frame.calibration_set_id,
        Frame.date_obs,
        Frame.joined_at,
    ).outerjoin(Frame, File.frame_id == Frame.id)
    found = [row for ids in batches(file_ids) for row in session.execute(query.where(File.id.in_(ids)))]
    held = [
        FileFrame(key, Path(root) / below, state, reason, None if kind is None else FrameType(kind), *rest)
        for key, root, below, state, reason, kind, *rest in found
    ]
    return sorted(held, key=lambda one: one.path)
