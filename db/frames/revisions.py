"""What the headers of files say of the frames they hold: what of it is in force, and which files disagree.

Pixels make a frame; what its header says belongs to the file. What was said last is in force, in the order in which
the ledger saw it, unless the same had been in force before: a copy of an old state changes nothing, but where the date
in force is not believed. Revisions are kept of frames of which more than one thing has been said; of all others the
frame itself holds the only one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from db.schema.models import CalibrationSet, File, FileState, Frame, HeaderRevision, Run, RunInput
from db.schema.rows import plain
from db.schema.upsert import batches

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ccdcore.cards.sections import Amplifier
    from ccdcore.frames.frame import SeriesFrame

_MATTERS = (*(field.name for field in fields(ExposureInfo) if not field.name.endswith("_reason")), "amplifiers")
_UNSAID = (None, "unknown")
_WHICH_EXPOSURE = ("instrument", "date_obs")

Said = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The file that a frame is registered from.

    Parameters
    ----------
    file_id : int
        Of the ledger.
    path : Path
        Where it lies.
    file_sha256 : str
        Of its bytes.
    says_type : bool
        Whether its header or name says what type the frame is of.
    prevails : bool
        Whether somebody asked for it by name, so that what it says is in force whatever was said before.
    """

    file_id: int
    path: Path
    file_sha256: str
    says_type: bool = True
    prevails: bool = False


@dataclass(frozen=True, slots=True)
class Saying:
    """A file and what it says of its frame; ``is_in_force`` where that is what the frame is taken for."""

    file_id: int
    host: str
    path: Path
    said: Said
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Files that hold one frame, not all of which say what is in force of it.

    ``only_value`` is that of all its pixels, in ADU, None where they differ.
    """

    frame_id: int
    sha256: str
    in_force: Said
    sayings: tuple[Saying, ...]
    only_value: float | None

    @property
    def differing(self) -> tuple[str, ...]:
        """What they differ in, by the names of columns."""
        all_said = [self.in_force, *(one.said for one in self.sayings)]
        return tuple(name for name in _MATTERS if any(said.get(name) != self.in_force.get(name) for said in all_said))

    @property
    def is_overexposed(self) -> bool:
        """Whether all its pixels are at one value, above zero, and all its files say that it is a flat."""
        types = {one.said.get("frame_type") for one in self.sayings}
        return bool(self.only_value) and types == {str(FrameType.FLAT)}

    @property
    def n_exposures(self) -> int:
        """How many exposures they claim to be, going by camera and time."""
        return len({tuple(one.said.get(name) for name in _WHICH_EXPOSURE) for one in self.sayings})

    @property
    def is_of_exposure(self) -> bool:
        """Whether they differ in what tells exposures apart: camera or time."""
        return not set(_WHICH_EXPOSURE).isdisjoint(self.differing)

    def among(self, is_there: Mapping[int, bool]) -> Disagreement | None:
        """Return what is left of it where only some files are there, by their ids; None where nothing is."""
        left = tuple(one for one in self.sayings if is_there[one.file_id])
        if all(one.is_in_force for one in left):
            return None
        return replace(self, sayings=left)


def said_of(values: Mapping[str, Any]) -> Said:
    """Return what a header, or a frame's row, says that matters, as plain JSON values; reasons do not."""
    said = {name: values[name] for name in _MATTERS}
    if said["date_obs"] is not None:
        said["date_obs"] = said["date_obs"].astimezone(UTC)
    return {name: plain(value) for name, value in said.items()}


def said_of_frame(frame: SeriesFrame) -> Said:
    """Return what is in force of a frame as ccdcore sees it."""
    info = {name: getattr(frame.info, name) for name in _MATTERS if name != "amplifiers"}
    return said_of({**info, "amplifiers": amplifier_rows(frame.amplifiers)})


def amplifier_rows(amplifiers: Iterable[Amplifier]) -> list[dict[str, Any]]:
    """Return amplifiers as the record holds them."""
    return [{"name": a.name, "data": str(a.data), "overscan": a.overscan and str(a.overscan)} for a in amplifiers]


def said_in(frame: Frame) -> Said:
    """Return what is in force of a frame."""
    return said_of({name: getattr(frame, name) for name in _MATTERS})


def digest_of(said: Said) -> str:
    """Return what two of the same meaning share."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def completed(session: Session, frame: Frame, info: ExposureInfo, source: Source | None) -> ExposureInfo:
    """Return what a file says of a frame, with what it leaves unsaid as other files of the frame have said it."""
    if source is None or not _others(session, frame, source):
        return info
    if not source.says_type:
        info = replace(info, frame_type=FrameType(frame.frame_type), frame_type_reason=frame.frame_type_reason)
    if info.n_averaged == 1 < frame.n_averaged:
        info = replace(info, n_averaged=frame.n_averaged)
    return info


def comes_into_force(
    session: Session,
    frame: Frame,
    said: Said,
    source: Source | None,
    *,
    identified_with: str,
    set_id: int | None,
    now: datetime,
) -> bool:
    """Record what a file says of a frame that is on record; return whether the frame is to be taken for that now.

    Parameters
    ----------
    frame : Frame
        As it is in force.
    source : Source or None
        The file; None where nobody knows.
    identified_with : str
        Digest of the rules by which the file was read.
    set_id : int or None
        The set that the frame belongs to by what the file says.
    """
    known = list(
        session.scalars(select(HeaderRevision).where(HeaderRevision.frame_id == frame.id).order_by(HeaderRevision.id))
    )
    said_before = said_in(frame)
    before, new = digest_of(said_before), digest_of(said)
    own = next((one for one in reversed(known) if source and one.file_id == source.file_id), None)
    if source and not source.prevails and _is_read_again(session, frame, source):
        return _restate(known, own, before, said)
    others = _others(session, frame, source)
    if new == before or (others and _says_no_more(said, said_before)):
        if known and source:
            _add(session, frame, source.file_id, source.path, said_before, now)
        return frame.identified_with != identified_with
    if frame.identified_with != identified_with:  # what differs may be the rules
        if known and source:
            _add(session, frame, source.file_id, source.path, said, now)
        return True
    if source is None:
        return False
    is_old = new in {one.digest for one in known}
    if before not in {one.digest for one in known}:
        for file_id, path in others or [(source.file_id, source.path)]:
            _add(session, frame, file_id, path, said_before, frame.registered_at)
    _add(session, frame, source.file_id, source.path, said, now)
    if is_old and not source.prevails and not (set_id is not None and _is_not_believed(frame)):
        return False
    _mark_sets(session, frame, set_id, now)
    return True


def _is_not_believed(frame: Frame) -> bool:
    """Whether a frame is in no set for the date that is in force of it."""
    return frame.calibration_set_id is None and frame.date_obs is not None and frame.frame_type != FrameType.OTHER


def _is_read_again(session: Session, frame: Frame, source: Source) -> bool:
    """Whether the ledger has it that these very bytes hold the frame: other rules may read them otherwise."""
    query = select(File.frame_id, File.file_sha256).where(File.id == source.file_id)
    return session.execute(query).one() == (frame.id, source.file_sha256)


def _restate(known: Iterable[HeaderRevision], own: HeaderRevision | None, before: str, said: Said) -> bool:
    """Say again, by the rules of today, what a file has said before; return whether that is what is in force."""
    is_in_force = own is None or own.digest == before
    for one in known:
        if one is own or (is_in_force and one.digest == before):
            one.digest, one.said = digest_of(said), said
    return is_in_force


def _says_no_more(said: Said, in_force: Said) -> bool:
    """Whether a header contradicts nothing that is in force, but leaves some of it out, as converters do."""
    return all(said[name] in _UNSAID or said[name] == in_force[name] for name in _MATTERS)


def _others(session: Session, frame: Frame, source: Source | None) -> list[tuple[int, Path]]:
    query = select(File.id, File.root, File.relative_path).where(
        File.frame_id == frame.id, File.id != (source.file_id if source else None)
    )
    return [(file_id, Path(root) / below) for file_id, root, below in session.execute(query.order_by(File.id))]


def _add(session: Session, frame: Frame, file_id: int, path: Path, said: Said, seen_at: datetime) -> None:
    session.add(
        HeaderRevision(
            frame_id=frame.id,
            file_id=file_id,
            path=str(path),
            digest=digest_of(said),
            said=said,
            seen_at=seen_at,
        )
    )
    session.flush()


def _mark_sets(session: Session, frame: Frame, set_id: int | None, now: datetime) -> None:
    """Mark the sets that the frame leaves and joins, and those whose current results used it: they lack something."""
    used_by = (
        select(Run.calibration_set_id)
        .join(RunInput, RunInput.run_id == Run.id)
        .where(RunInput.frame_id == frame.id, Run.superseded_by_id.is_(None))
    )
    which = or_(CalibrationSet.id.in_([frame.calibration_set_id, set_id]), CalibrationSet.id.in_(used_by))
    session.execute(
        update(CalibrationSet).where(which).values(changed_at=now).execution_options(synchronize_session=False)
    )


def changed_sets(session: Session, since: datetime) -> set[int]:
    """Return the sets that became others, since a time, than their results were made of."""
    return set(session.scalars(select(CalibrationSet.id).where(CalibrationSet.changed_at >= since)))


def disagreements(session: Session, frame_ids: Collection[int] | None = None) -> list[Disagreement]:
    """Return the frames whose files do not all say what is in force, among these frames or all, by their ids."""
    query = select(HeaderRevision.frame_id).distinct()
    told_of = set(session.scalars(query))
    if frame_ids is not None:
        told_of &= set(frame_ids)
    found = []
    for ids in batches(told_of):
        revisions = session.scalars(
            select(HeaderRevision).where(HeaderRevision.frame_id.in_(ids)).order_by(HeaderRevision.id)
        )
        last = {(one.frame_id, one.file_id): one for one in revisions}
        files: dict[int, list[File]] = {}
        held = select(File).where(File.frame_id.in_(ids), File.state == FileState.DONE).order_by(File.id)
        for file in session.scalars(held):
            files.setdefault(file.frame_id or 0, []).append(file)
        for frame in session.scalars(select(Frame).where(Frame.id.in_(files)).order_by(Frame.id)):
            in_force = said_in(frame)
            sayings = tuple(_saying(file, last.get((frame.id, file.id)), in_force) for file in files[frame.id])
            if not all(one.is_in_force for one in sayings):
                found.append(Disagreement(frame.id, frame.sha256, in_force, sayings, _only_value(frame)))
    return found


@dataclass(frozen=True, slots=True)
class Revision:
    """What a file was found to say of its frame, and when; ``changed`` is what of it is not in force, by column."""

    seen_at: datetime
    path: Path
    changed: Said


def revisions(session: Session, frame_id: int) -> list[Revision]:
    """Return what the files of a frame were found to say, oldest first; nothing where they have said one thing only."""
    in_force = said_in(session.get_one(Frame, frame_id))
    query = select(HeaderRevision).where(HeaderRevision.frame_id == frame_id).order_by(HeaderRevision.id)
    return [
        Revision(
            one.seen_at, Path(one.path), {name: said for name, said in one.said.items() if said != in_force.get(name)}
        )
        for one in session.scalars(query)
    ]


def _only_value(frame: Frame) -> float | None:
    values = {of[end] for of in frame.statistics for end in ("minimum", "maximum")}
    return values.pop() if len(values) == 1 else None


def _saying(file: File, last: HeaderRevision | None, in_force: Said) -> Saying:
    is_in_force = last is None or last.digest == digest_of(in_force)
    said = in_force if last is None else last.said
    return Saying(file.id, file.host, Path(file.root) / file.relative_path, said, is_in_force)
