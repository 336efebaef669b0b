"""The life of a file: seen → settling → ready → claimed → done | quarantined.

A file is settling until it is stable. One whose signature (size, mtime, inode) changes starts again there, whatever it
was; one in quarantine also where its mode or owner changed. A claim holds until its lease runs out; what its owner says
after losing it (the file changed, or somebody else took over) is not heard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, case, delete, false, func, or_, select, update
from sqlalchemy.orm import Session

from ccdcore.text import readable
from db.schema.models import File, FileState, Frame
from db.schema.upsert import batches, insert

LONGEST_LEASE = timedelta(hours=1)
_PRIME = 1_000_003
"""Sums of what is taken by this modulus fit into a database's integers."""
_WAITING = (FileState.SEEN, FileState.SETTLING)
_UNPROCESSED = (*_WAITING, FileState.READY, FileState.CLAIMED)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as a scan found it: the watched directory, the path below it, and its signature.

    ``ctime_ns`` is no part of the signature (a new hard link or mode changes it); it tells when a file arrived that
    was moved here, or copied with its old mtime, and whether anything was done to one in quarantine.
    """

    root: str
    relative_path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file on the ledger.

    Parameters
    ----------
    id : int
        Its number on the ledger.
    host, root, relative_path : str
        The machine, the watched directory, the path below it.
    size, mtime_ns, inode : int
        The signature it was last seen with.
    state : FileState
        Where it is in its life.
    reason : str or None
        Why it waits or is in quarantine.
    changed_at : datetime
        When its signature last changed.
    tries : int
        How often it was read in vain since then.
    frame_id : int or None
        The frame it holds, once it has been read.
    """

    id: int
    host: str
    root: str
    relative_path: str
    size: int
    mtime_ns: int
    inode: int
    state: FileState
    reason: str | None
    changed_at: datetime
    tries: int
    frame_id: int | None

    @property
    def path(self) -> Path:
        """Where it lies on its host."""
        return Path(self.root) / self.relative_path


_COLUMNS = tuple(getattr(File, name) for name in FileRow.__dataclass_fields__)


def observe(session: Session, sightings: Iterable[Sighting], *, host: str, now: datetime) -> list[FileRow]:
    """Put on the ledger what a scan saw.

    A new file is ``seen``; one whose signature changed is ``settling`` again,
    whatever it was before; an unchanged one stays as it is.

    Returns
    -------
    list of FileRow
        The new and the changed files only.
    """
    rows = {(s.root, s.relative_path): _as_row(s, host=host, now=now) for s in sightings}
    if not rows:
        return []
    statement = insert(session, File)
    new = statement.excluded
    upsert = statement.on_conflict_do_update(
        index_elements=["host", "root", "relative_path"],
        set_={
            "size": new.size,
            "mtime_ns": new.mtime_ns,
            "inode": new.inode,
            "ctime_ns": new.ctime_ns,
            "changed_at": new.changed_at,
            "state_since": new.state_since,
            "state": FileState.SETTLING,
            "reason": None,
            "tries": 0,
            "claimed_by": None,
            "lease_until": None,
            "file_sha256": None,
            "frame_id": None,
        },
        where=or_(
            File.size != new.size,
            File.mtime_ns != new.mtime_ns,
            File.inode != new.inode,
            and_(File.state == FileState.QUARANTINED, File.ctime_ns.is_distinct_from(new.ctime_ns)),
        ),
    )
    return [FileRow(*row) for row in session.execute(upsert.returning(*_COLUMNS), list(rows.values()))]


def _as_row(sighting: Sighting, *, host: str, now: datetime) -> dict[str, Any]:
    arrived = datetime.fromtimestamp(max(sighting.mtime_ns, sighting.ctime_ns) / 1e9, tz=UTC)
    return {
        "host": host,
        "root": sighting.root,
        "relative_path": sighting.relative_path,
        "size": sighting.size,
        "mtime_ns": sighting.mtime_ns,
        "inode": inode(sighting.inode),
        "ctime_ns": sighting.ctime_ns,
        "state": FileState.SEEN,
        "state_since": now,
        # A camera's clock may be ahead of ours; nothing arrives in the future.
        "changed_at": min(arrived, now),
        "first_seen_at": now,
        "tries": 0,
    }


def inode(number: int) -> int:
    """Return an inode as the ledger keeps it: one is unsigned, a database's integer is not."""
    return number & 2**63 - 1


def sightings(session: Session, *, host: str) -> list[Sighting]:
    """Return every file of ``host`` as it was last seen; its ctime where that matters, of those in quarantine."""
    ctime_ns = case((File.state == FileState.QUARANTINED, func.coalesce(File.ctime_ns, -1)), else_=0)
    columns = (File.root, File.relative_path, File.size, File.mtime_ns, File.inode, ctime_ns)
    query = select(*columns).where(File.host == host)
    return [Sighting(*row) for row in session.execute(query)]


def fingerprint(session: Session, *, host: str) -> tuple[int, ...]:
    """Return what tells quickly whether `sightings` may be others than before.

    A dump may have been restored, or a file have been put into quarantine since.
    """
    quarantined = case((File.state == FileState.QUARANTINED, File.id), else_=0)
    parts = (File.id, File.size, File.mtime_ns % _PRIME, File.inode % _PRIME, quarantined)
    query = select(func.count(), *(func.coalesce(func.sum(part), 0) for part in parts)).where(File.host == host)
    return tuple(map(int, session.execute(query).one()))


def files_at(session: Session, sightings: Iterable[Sighting], *, host: str) -> list[FileRow]:
    """Return the rows of these files, in the order of their paths."""
    below: dict[str, set[str]] = {}
    for sighting in sightings:
        below.setdefault(sighting.root, set()).add(sighting.relative_path)
    found = []
    for root, paths in sorted(below.items()):
        here = session.execute(select(*_COLUMNS).where(File.host == host, File.root == root))
        found += sorted((row for row in map(_file_row, here) if row.relative_path in paths), key=lambda row: row.path)
    return found


def registered(session: Session, *, host: str) -> list[tuple[FileRow, str]]:
    """Return the files of ``host`` that frames were registered from, by path, each with the SHA-256 of its bytes."""
    query = select(*_COLUMNS, File.file_sha256).where(File.host == host, File.state == FileState.DONE)
    found = session.execute(query.order_by(File.root, File.relative_path))
    return [(FileRow(*row), sha256) for *row, sha256 in found]


def files_of_frame(session: Session, frame_id: int, *, host: str) -> list[tuple[FileRow, str | None]]:
    """Return the files of ``host`` that hold a frame, each with the SHA-256 of its bytes."""
    query = select(*_COLUMNS, File.file_sha256).where(File.frame_id == frame_id, File.host == host).order_by(File.id)
    return [(FileRow(*row), sha256) for *row, sha256 in session.execute(query)]


def files_of(session: Session, file_ids: Collection[int]) -> list[FileRow]:
    """Return the rows of these files, as far as there are such."""
    found = (session.execute(select(*_COLUMNS).where(File.id.in_(ids))) for ids in batches(file_ids))
    return [FileRow(*row) for rows in found for row in rows]


def files_named(session: Session, paths: Iterable[Path], *, host: str) -> list[FileRow]:
    """Return the rows of the files of ``host`` with these full paths."""
    found: list[FileRow] = []
    for path in paths:
        named = File.relative_path.endswith(path.name, autoescape=True)
        rows = session.execute(select(*_COLUMNS).where(File.host == host, named))
        found += [row for row in map(_file_row, rows) if row.path == path]
    return found


def read_again(session: Session, file_id: int, sighting: Sighting, *, now: datetime) -> None:
    """Offer a file that was read to be read again, for it is not what it was; until then it holds no frame."""
    row = File.id == file_id, File.state == FileState.DONE
    seen = _as_row(sighting, host="", now=now)
    known = {name: seen[name] for name in ("size", "mtime_ns", "inode", "ctime_ns", "changed_at")}
    again = {"state": FileState.READY, "state_since": now, "file_sha256": None, "frame_id": None, "tries": 0}
    _move(session, and_(*row), **known, **again)


def _file_row(row: Any) -> FileRow:
    return FileRow(*row)


def waiting(session: Session, *, host: str) -> list[FileRow]:
    """Return the files of ``host`` that are not ready yet, those that changed first in front."""
    query = select(*_COLUMNS).where(File.state.in_(_WAITING), File.host == host).order_by(File.changed_at, File.id)
    return [FileRow(*row) for row in session.execute(query)]


def mark_ready(
    session: Session, file_ids: Collection[int], *, now: datetime, longest_rest: timedelta = LONGEST_LEASE
) -> int:
    """Offer stable files for work; return how many (one sent back rests until its time is over)."""
    rested = or_(File.lease_until.is_(None), _is_over(now, longest_rest))
    stable = and_(File.state.in_(_WAITING), rested)
    return sum(
        _move(session, and_(File.id.in_(ids), stable), state=FileState.READY, state_since=now, lease_until=None)
        for ids in batches(file_ids)
    )


def claim_ready(
    session: Session, *, host: str, owner: str, limit: int, lease_until: datetime, now: datetime
) -> list[FileRow]:
    """Claim up to ``limit`` files of ``host`` that are ready, or whose claim has run out.

    Parameters
    ----------
    owner : str
        Who claims; unlike any other claimant's.
    lease_until : datetime
        When others may take over.
    """
    expired = and_(File.state == FileState.CLAIMED, _is_over(now, LONGEST_LEASE))
    free = and_(File.host == host, or_(File.state == FileState.READY, expired))
    query = select(File.id).where(free).order_by(File.changed_at, File.id).limit(limit)
    return _claim(session, query.with_for_update(skip_locked=True), owner=owner, lease_until=lease_until, now=now)


def claim_files(
    session: Session, file_ids: Collection[int], *, owner: str, lease_until: datetime, now: datetime
) -> list[FileRow]:
    """Claim these files in whatever state they are, but for those that somebody works on.

    This is the way to have a file worked on by name: at once, again, or out of quarantine.
    """
    free = or_(File.state != FileState.CLAIMED, _is_over(now, LONGEST_LEASE))
    claimed = []
    for ids in batches(file_ids):
        query = select(File.id).where(File.id.in_(ids), free).with_for_update(skip_locked=True)
        claimed += _claim(session, query, owner=owner, lease_until=lease_until, now=now)
    return claimed


def _is_over(now: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Whether a claim or a rest is over: also where it lasts until a time that only a clock far ahead can have told."""
    return or_(File.lease_until <= now, File.lease_until > now + longest)


def _claim(session: Session, query: Any, *, owner: str, lease_until: datetime, now: datetime) -> list[FileRow]:
    claimed = (
        update(File)
        .where(File.id.in_(session.scalars(query).all()))
        .values(
            state=FileState.CLAIMED,
            state_since=now,
            claimed_by=owner,
            lease_until=lease_until,
        )
        .returning(*_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    return sorted((FileRow(*row) for row in session.execute(claimed)), key=lambda row: (row.changed_at, row.id))


def claimants(session: Session, *, host: str) -> set[str]:
    """Return who has claimed files of ``host``."""
    claimed = select(File.claimed_by).where(File.state == FileState.CLAIMED, File.host == host)
    return {owner for owner in session.scalars(claimed.distinct()) if owner}


def release(session: Session, *, owner: str, now: datetime) -> int:
    """Offer the files that ``owner`` has claimed to others, for it is gone; return how many."""
    claimed = and_(File.state == FileState.CLAIMED, File.claimed_by == owner)
    return _move(session, claimed, state=FileState.READY, state_since=now, claimed_by=None, lease_until=None)


def finish(session: Session, file_id: int, *, owner: str, frame_id: int, file_sha256: str, now: datetime) -> bool:
    """Record what the file holds; return False where ``owner`` has lost it, so that nothing is recorded."""
    values = {"reason": None, "tries": 0, "frame_id": frame_id, "file_sha256": file_sha256}
    return _end_claim(session, file_id, owner=owner, state=FileState.DONE, now=now, **values)


def quarantine(session: Session, file_id: int, *, owner: str | None, reason: str, now: datetime) -> bool:
    """Set a file aside that cannot be used; ``owner`` is None for a file that nobody has claimed."""
    return _end_claim(
        session, file_id, owner=owner, state=FileState.QUARANTINED, now=now, reason=readable(reason), frame_id=None
    )


def send_back(
    session: Session, file_id: int, *, owner: str, reason: str, rest_until: datetime, most: int | None, now: datetime
) -> bool:
    """Let a file wait for more bytes or better times, not ready again before ``rest_until``.

    After ``most`` tries it is put into quarantine instead; without such a limit it was no try. Nor is a claim that ran
    out: whatever ended its owner, it was not known to be this file.
    """
    tries = File.tries + int(most is not None)
    is_last = false() if most is None else tries >= most
    given_up = f"given up after {most} tries; {reason}; when the cause is gone, type ccdwatch retry file:{file_id}"
    return _end_claim(
        session,
        file_id,
        owner=owner,
        state=case((is_last, FileState.QUARANTINED), else_=FileState.SETTLING),
        now=now,
        reason=case((is_last, readable(given_up)), else_=readable(reason)),
        lease_until=case((is_last, None), else_=rest_until),
        tries=tries,
    )


def _end_claim(
    session: Session, file_id: int, *, owner: str | None, state: object, now: datetime, **values: object
) -> bool:
    rest: dict[str, object] = {"claimed_by": None, "lease_until": None, **values}
    mine = and_(File.id == file_id, File.claimed_by == owner)
    return _move(session, mine, state=state, state_since=now, **rest) == 1


def _move(session: Session, where: ColumnElement[bool], **values: object) -> int:
    statement = update(File).where(where).values(**values).execution_options(synchronize_session=False)
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def identified_otherwise(session: Session, *, host: str, identified_with: str, since: date | None = None) -> list[int]:
    """Return the files whose frame, of this night or later, was identified by other rules than those in force."""
    query = (
        select(File.id)
        .join(Frame, File.frame_id == Frame.id)
        .where(File.host == host, File.state == FileState.DONE, Frame.identified_with != identified_with)
    )
    if since is not None:
        query = query.where(or_(Frame.night.is_(None), Frame.night >= since))
    return list(session.scalars(query.order_by(File.id)))


def forget(session: Session, file_ids: Collection[int]) -> None:
    """Take files off the ledger that went away before they were ready: renamed, or deleted."""
    for ids in batches(file_ids):
        session.execute(delete(File).where(File.id.in_(ids), File.state.in_(_WAITING)))


def counts(session: Session, states: Collection[FileState] = tuple(FileState)) -> dict[FileState, int]:
    """Return how many files are in each state, or in each of those named: all that are done take long to count."""
    query = select(File.state, func.count()).where(File.state.in_(states)).group_by(File.state)
    found = dict(session.execute(query).tuples().all())
    return {state: found.get(state, 0) for state in states}


def quarantined(session: Session, *, limit: int | None = None) -> list[FileRow]:
    """Return the files that were put into quarantine last, or all of them, the newest in front."""
    query = select(*_COLUMNS).where(File.state == FileState.QUARANTINED)
    return [FileRow(*row) for row in session.execute(query.order_by(File.state_since.desc(), File.id).limit(limit))]


def oldest_unprocessed(session: Session, states: Collection[FileState] = _UNPROCESSED) -> datetime | None:
    """Return when the file arrived that has waited longest to be done, of those in these states; None for none."""
    return session.scalar(select(func.min(File.changed_at)).where(File.state.in_(states)))
