"""Frames calibrated with the masters that suit them best, written and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from math import hypot, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from astropy.time import Time

from ccdcore.application.apply import calibrate
from ccdcore.application.file import AppliedMaster, calibrated_hdulist, header_saturation
from ccdcore.association.facts import KINDS
from ccdcore.cards.dialects import PROCSOFT
from ccdcore.errors import CcdError, ChangedFrameError
from ccdcore.io.read import read_frame_and_cards
from ccdcore.io.write import appearing, reappearing
from ccdcore.numerics.threads import of_parts
from db.application.calibrated import NewCalibrated, forget_calibrated, record_calibrated
from db.application.readout import READ_FROM, readout_of
from db.association.best import best
from db.association.subjects import subjects_on_record
from flows.applying.calibrating.leftovers import remove_passing
from flows.applying.calibrating.masters import ChangedMasterError, MasterFiles
from flows.applying.calibrating.outputs import NotOursError, Output, output_at
from flows.home.lost_database import is_database_lost
from flows.home.processes import now
from flows.runs.begin import software

if TYPE_CHECKING:
    from datetime import datetime

    from astropy.io.fits import HDUList

    from ccdcore.application.ingredients import Readout, Unit
    from ccdcore.association.choice import Answer, Choice
    from ccdcore.association.facts import Subject
    from ccdcore.cards.values import Cards
    from ccdcore.frames.frame import SeriesFrame
    from db.application.calibrated import CalibratedOnRecord
    from flows.applying.calibrating.frames import Progress
    from flows.home.home import Home

Again: TypeAlias = Literal["never", "changed", "always"]
"""Whether what was made of a frame before is replaced: ``changed`` if the service made it, and of other masters."""

_OPTIONAL = frozenset({"mask"})
"""What a frame may go without unasked: its pixels are the same, and it is said that none was looked up."""
_BATCH = 16
"""Frames whose masters are chosen at a time: all candidates of these are held."""
_MEMORY_LIMIT = 2 * 2**30
_BYTES_PER_PIXEL = 32
"""Of a frame under way: raw, calibrated, and what is on its way to disk."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A frame that is to be calibrated, and how.

    Parameters
    ----------
    frame_id, frame : int, SeriesFrame
        Which it is.
    path : str
        Where it goes, relative to the home if below it.
    unit : {"adu", "electron"}
        Of the result.
    without : frozenset of str
        Kinds of masters that it may go without.
    again : {"never", "changed", "always"}
        Whether what was made of it before is replaced.
    """

    frame_id: int
    frame: SeriesFrame
    path: str
    unit: Unit = "adu"
    without: frozenset[str] = frozenset()
    again: Again = "never"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What became of a frame.

    Parameters
    ----------
    frame_id : int
        Which it is.
    file, output : str, str or None
        The raw file, and the calibrated one; None where there is none.
    state : str
        ``calibrated``, ``stands`` (so it was made before, of the same masters), ``left out``, or ``failed``.
    masters : mapping of str to int
        Kind → number of the master that was used.
    price_e : float or None
        What all of them add to the noise of the frame, in electrons per pixel.
    unit : str
        Of the result.
    reason : str or None
        Why it failed or is left out; else what it went without, and what is odd about it, as that it is marked bad.
    lacking : frozenset of str
        Kinds of masters for want of which it failed.
    """

    frame_id: int
    file: str
    output: str | None
    state: str
    masters: Mapping[str, int] = field(default_factory=dict)
    price_e: float | None = None
    unit: str = ""
    reason: str | None = None
    lacking: frozenset[str] = frozenset()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, a master a column."""
        ids: dict[str, Any] = {kind: self.masters.get(kind) for kind in KINDS}
        own = {"file": self.file, "state": self.state} | ids | {"price_e": self.price_e, "unit": self.unit}
        return own | {"output": self.output, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class _Job:
    """A frame whose masters are chosen; the candidates are not kept, so that memory does not grow with frames."""

    wanted: Wanted
    subject: Subject
    choices: tuple[Choice, ...]
    missing: Mapping[str, str]
    readout: Mapping[str, Readout]
    remarks: tuple[str, ...]
    second: Mapping[int, int]

    def instead_of(self, master_id: int) -> str:
        """Say which master is the next best: nobody is to get it unasked."""
        other = self.second.get(master_id)
        return "" if other is None else f"; the next best is master:{other}, once master:{master_id} is marked bad"

    @property
    def said(self) -> str | None:
        """What is to be said of it where it does not fail."""
        without = [f"without {', '.join(self.missing)}"] if self.missing else []
        return "; ".join([*without, *self.remarks]) or None

    @property
    def masters(self) -> dict[str, int]:
        return {one.kind: one.master.master_id for one in self.choices}

    @property
    def prices(self) -> dict[str, float | None]:
        return {one.kind: _price_e(one) for one in self.choices}

    @property
    def lacking(self) -> dict[str, str]:
        """Why there are none of the masters that it cannot go without, by kind."""
        without = self.wanted.without | _OPTIONAL
        return {kind: why for kind, why in self.missing.items() if kind not in without}

    def is_as_made(self, standing: CalibratedOnRecord) -> bool:
        """Whether the same would be made of it as was, or is not to be made in the place of that."""
        is_same = (standing.masters, standing.unit) == (self.masters, self.wanted.unit)
        is_same = is_same and standing.readout in (None, self.readout)
        return is_same or (self.wanted.again == "changed" and not standing.is_of_service)

    def became(self, state: str, output: Path | None, reason: str | None) -> Calibration:
        known = [one for one in self.prices.values() if one is not None]
        return Calibration(
            frame_id=self.wanted.frame_id,
            file=str(self.wanted.frame.path),
            output=None if output is None else str(output),
            state=state,
            masters=self.masters,
            price_e=hypot(*known) if known else None,
            unit=self.wanted.unit,
            reason=reason,
            lacking=frozenset(self.lacking),
        )


def calibrate_frames(
    home: Home,
    wanted: Sequence[Wanted],
    *,
    engine: str = "local",
    flow_run_id: str | None = None,
    progress: Progress = lambda *_: None,
) -> Iterator[Calibration]:
    """Calibrate frames on record, several at a time, each with the masters that suit it best now.

    Parameters
    ----------
    home : Home
        The open home.
    wanted : sequence of Wanted
        Which, and how.
    engine, flow_run_id : str, str or None
        Who does it, for the record.
    progress : callable, optional
        Told how the work goes on.

    Yields
    ------
    Calibration
        What became of each, in the order given.
    """
    remove_passing(home, {(home.path / one.path).parent for one in wanted}, now())
    work = partial(_do, home, MasterFiles(home.path), {"engine": engine, "flow_run_id": flow_run_id})
    n_pixels = max((prod(one.frame.shape) for one in wanted), default=0)
    most = max(1, _MEMORY_LIMIT // (_BYTES_PER_PIXEL * max(1, n_pixels)))
    parts = of_parts(work, _jobs(home, wanted), n_pixels=n_pixels * len(wanted), most_threads=most)
    for number, one in enumerate(parts, start=1):
        progress("calibrating", number, len(wanted))
        yield one


def _jobs(home: Home, wanted: Sequence[Wanted]) -> Iterator[_Job]:
    """Choose the masters of some frames at a time."""
    for start in range(0, len(wanted), _BATCH):
        some = wanted[start : start + _BATCH]
        with home.read_session() as session:
            subjects = subjects_on_record(session, {one.frame_id for one in some})
            answers = best(session, [subjects[one.frame_id] for one in some], recipes=home.settings.recipes)
            readouts = [readout_of(session, one.subject, _ids(one, READ_FROM)) for one in answers]
        for one, answer, readout in zip(some, answers, readouts, strict=True):
            missing: dict[str, str] = {each.kind: each.reason for each in answer.missing}
            said = (*answer.oddities, *readout.doubts)
            yield _Job(one, answer.subject, answer.choices, missing, readout.of, said, _second(answer))


def _second(answer: Answer) -> dict[int, int]:
    """Return of each master that was chosen the one that would be without it."""
    suited: dict[str, list[int]] = {}
    for one in answer.candidates:
        if one.passes:
            suited.setdefault(one.master.corrects, []).append(one.master.master_id)
    return {first: others[0] for first, *others in suited.values() if others}


def _ids(answer: Answer, kinds: Sequence[str]) -> list[int]:
    chosen = {one.kind: one.master.master_id for one in answer.choices}
    return [chosen[kind] for kind in kinds if kind in chosen]


def _do(home: Home, files: MasterFiles, made_by: Mapping[str, Any], job: _Job) -> Calibration:
    """Calibrate a frame; what goes wrong is said of it, so that the others go on."""
    try:
        return _done(home, files, made_by, job)
    except ChangedMasterError as error:
        return job.became("failed", None, f"{error}{job.instead_of(error.master_id)}")
    except CcdError as error:  # the row has the file
        return job.became("failed", None, str(error).removeprefix(f"{job.wanted.frame.path}: "))
    except OSError as error:
        return job.became("failed", None, f"cannot be written: {error.strerror or error}: give another -o DIR")
    except Exception as error:
        if is_database_lost(error):
            raise
        return job.became("failed", None, f"{type(error).__name__}: {error}")


def _done(home: Home, files: MasterFiles, made_by: Mapping[str, Any], job: _Job) -> Calibration:
    output = output_at(home, job.wanted.path)
    if lacking := job.lacking:
        options = "[science] allow_missing"
        if job.wanted.again != "changed":
            options = " ".join(f"--allow-missing {kind}" for kind in lacking)
        it = "it" if len(lacking) == 1 else "them"
        return job.became("failed", None, f"{'; '.join(lacking.values())}: to go on without {it}, {options}")
    if (standing := output.standing) is not None and job.wanted.again != "always":
        if job.is_as_made(standing):
            return job.became("stands", home.path / output.path, job.said)
        if job.wanted.again == "never":
            raise NotOursError(f"{home.path / output.path}: was calibrated otherwise before: add --again")
    _write(home, files, made_by, job, output)
    return job.became("calibrated", home.path / output.path, job.said)


def _write(home: Home, files: MasterFiles, made_by: Mapping[str, Any], job: _Job, output: Output) -> None:
    """Calibrate a frame, write it, record it, and give the file its name in the end: none has a name without record."""
    hdulist = _hdulist(home, files, job)
    home.require_there()
    write, calibrated_id = (appearing if output.standing is None else reappearing), None
    try:
        with write(home.path / output.path, hdulist) as sha256, home.write_session() as session:
            new = NewCalibrated(
                frame_id=job.wanted.frame_id,
                frame_sha256=job.wanted.frame.sha256,
                subject=job.subject,
                masters=job.masters,
                prices=job.prices,
                readout=job.readout,
                unit=job.wanted.unit,
                path=output.path,
                sha256=sha256,
                software=software(),
                **made_by,
            )
            # The same bytes are on record already where a process was killed before it could name them.
            if output.recorded_sha256 != sha256:
                calibrated_id = record_calibrated(session, new, now=now())
    except OSError:
        if calibrated_id is not None:
            with home.write_session() as session:
                forget_calibrated(session, calibrated_id)
        raise


def _hdulist(home: Home, files: MasterFiles, job: _Job) -> HDUList:
    known = job.wanted.frame
    frame, raw_cards = read_frame_and_cards(known.path, instruments=home.settings.instruments)
    if frame.sha256 != known.sha256:
        raise ChangedFrameError(known.path, known.sha256, frame.sha256)
    masters, saturation_adu = files.chosen(job.choices), header_saturation(raw_cards)
    found = calibrate(
        frame,
        masters,
        job.readout,
        unit=job.wanted.unit,
        saturation_adu=saturation_adu,
        flat_gain_e_per_adu=files.flat_gain(job.choices, frame, job.readout),
    )
    applied: dict[str, AppliedMaster] = {one.kind: _applied(one) for one in job.choices}
    cards = {
        **_time_cards(raw_cards, known.info.date_obs),
        "RAWFILE": (known.path.name, "the raw frame"),
        "RAWSHA": known.sha256,
        "CALLACK": (", ".join(job.missing) or None, "masters that it went without"),
        "CCDINSTR": (known.info.instrument, "instrument, as ccdwatch calls it"),
        "PROCSOFT": PROCSOFT,
        "PROCVER": version("ccdwatch"),
    }
    return calibrated_hdulist(
        found, frame.amplifiers, job.readout, applied, raw_cards=raw_cards, cards=cards, remarks=job.remarks
    )


def _time_cards(raw_cards: Cards, date_obs: datetime | None) -> dict[str, Any]:
    """Return the day of DATE-OBS as a number, so that no reader has to derive it and warn of that."""
    if date_obs is None or "DATE-OBS" not in raw_cards or "MJD-OBS" in raw_cards:
        return {}
    return {"MJD-OBS": (float(Time(date_obs).mjd), "[d] begin of the exposure")}


def _applied(choice: Choice) -> AppliedMaster:
    master = choice.master
    return AppliedMaster(Path(master.path).name, master.sha256, master.master_id, _price_e(choice))


def _price_e(choice: Choice) -> float | None:
    return None if choice.price is None else choice.price.total_e
