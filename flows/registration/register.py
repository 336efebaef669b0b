"""Registration: reads files that are complete and records the frames in them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.errors import CcdError, FrameReadError
from ccdcore.headers.instrument import Instrument
from db.files import ledger
from db.files.ledger import FileRow
from db.frames.register import register_frame
from db.frames.revisions import Source
from db.runs.lifecycle import retire_runs_of
from db.schema.upsert import batches
from flows.home.disk import DiskFullError, is_disk_full
from flows.home.home import Home
from flows.home.lost_database import is_database_lost
from flows.home.processes import HOST, is_gone, now, own_start
from flows.registration.dates import window_of_frame
from flows.registration.reader_pool import (
    READERS,
    Readers,
    ReaderStartError,
    ReadingError,
    ShareLostError,
    require_same,
)
from flows.retries import FILE_REST, FILE_TRIES

if TYPE_CHECKING:
    from ccdcore.headers.identify import ExposureInfo
    from ccdcore.io.read import MeasuredFrame

LEASE = timedelta(minutes=10)
BATCH = 64


@dataclass
class LookedAt:
    """How many files were looked at, and which of them could not be read for reasons of the moment, by id."""

    n: int = 0
    again: list[int] = field(default_factory=list)


def register_files(
    home: Home,
    *,
    file_ids: Collection[int] | None = None,
    progress: Callable[[int], None] | None = None,
    prevails: bool = False,
) -> LookedAt:
    """Register what is ready, or the files given by id.

    Parameters
    ----------
    home : Home
        The open home.
    file_ids : collection of int, optional
        Files of the ledger to work on now, whatever state they are in; None for all that are ready.
    progress : callable, optional
        Told how many files were done since it was last told.
    prevails : bool
        Whether what the headers of these files say is in force, whatever others say of the same frames.

    Raises
    ------
    DiskFullError
        If nothing can be recorded.
    ReaderStartError
        If nothing can be read.
    """
    owner = f"{owner_of(HOST, os.getpid(), own_start())}{uuid.uuid4().hex[:8]}"
    looked_at = LookedAt()
    with Readers(home.settings.instruments) as readers, _threads() as threads:
        for batch in _claims(home, owner, file_ids):
            readings = [threads.submit(_read, readers, file) for file in batch]
            # Recorded in the order of the ledger, whichever is read first: the same frames get the same ids.
            for file, reading in zip(batch, readings, strict=True):
                if _register(home, owner, file, reading, prevails=prevails):
                    looked_at.again.append(file.id)
                looked_at.n += 1
                if progress:
                    progress(1)
    return looked_at


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for readers; where the work ends with an error, what they have not begun is left."""
    threads = ThreadPoolExecutor(READERS)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def owner_of(host: str, pid: int, started: float) -> str:
    """Return how the name begins by which a process claims files."""
    return f"{host}:{pid}:{started}:"


def free_lost_claims(home: Home) -> None:
    """Offer to others what was claimed by processes of this machine that are gone, without waiting for their leases."""

    def is_lost(owner: str) -> bool:
        machine, pid, started, _ = owner.rsplit(":", 3)
        return machine == HOST and is_gone(int(pid), float(started))

    _free(home, is_lost)


def free_claims_of(home: Home, host: str, pid: int, started: float) -> None:
    """Offer to others what was claimed by a process that is known to be gone."""
    _free(home, lambda owner: owner.startswith(owner_of(host, pid, started)))


def _free(home: Home, is_lost: Callable[[str], bool]) -> None:
    with home.read_session() as session:
        owners = ledger.claimants(session, host=home.settings.host)
    for owner in filter(is_lost, owners):
        with home.write_session() as session:
            ledger.release(session, owner=owner, now=now())


def _claims(home: Home, owner: str, file_ids: Collection[int] | None) -> Iterator[list[FileRow]]:
    """Claim in batches the files given, but for those that somebody works on, or all that are ready."""
    if file_ids is not None:
        for some in batches(file_ids, BATCH):
            with home.write_session() as session:
                batch = ledger.claim_files(session, some, owner=owner, lease_until=now() + LEASE, now=now())
            yield batch
        return
    while True:
        with home.write_session() as session:
            batch = ledger.claim_ready(
                session, host=home.settings.host, owner=owner, limit=BATCH, lease_until=now() + LEASE, now=now()
            )
        if not batch:
            return
        yield batch


def _register(home: Home, owner: str, file: FileRow, reading: Future[MeasuredFrame], *, prevails: bool) -> bool:
    """Register the frame of one claimed file, or say on the ledger why not, so that the others go on.

    Returns
    -------
    bool
        Whether it could not be read for reasons of the moment, so that it is to be tried again.

    Raises
    ------
    DiskFullError
        If nothing can be recorded.
    ReaderStartError
        If nothing can be read.
    """
    try:
        _record(home, owner, file, reading.result(), prevails=prevails)
    except FrameReadError as error:
        quiet_at = file.changed_at + timedelta(seconds=home.settings.watch.quiet_seconds)
        waits = error.incomplete and now() < quiet_at
        _set_aside(home, owner, file, error.reason, rest_until=quiet_at if waits else None)
    except CcdError as error:
        _set_aside(home, owner, file, str(error), rest_until=None)
    except ReadingError as error:
        tries = None if isinstance(error, ShareLostError) else FILE_TRIES
        _set_aside(home, owner, file, str(error), rest_until=now() + FILE_REST, tries=tries)
        return True
    except Exception as error:
        if is_disk_full(error):  # no fault of the file: it is claimed again when there is room
            raise DiskFullError(f"{home.path}: the disk is full: make room; no frame is lost") from error
        if isinstance(error, ReaderStartError) or is_database_lost(error):
            raise  # nor is this: it is claimed again as soon as this process has ended
        _set_aside(home, owner, file, f"{type(error).__name__}: {error}", rest_until=now() + FILE_REST)
    return False


def _read(readers: Readers, file: FileRow) -> MeasuredFrame:
    """Measure a file, and make sure that it is the one on the ledger: complete, and no link to elsewhere."""
    signature = file.size, file.mtime_ns, file.inode
    check = partial(require_same, file.path, Path(file.root), signature)
    return readers.measure(file.path, check=check, tries=min(file.tries, FILE_TRIES - 1))


def _record(home: Home, owner: str, file: FileRow, measured: MeasuredFrame, *, prevails: bool) -> None:
    nights = home.settings.nights
    night = nights.night_of(measured.info)
    first_night, window_nights = window_of_frame(home.settings, measured.info, file.changed_at)
    with home.write_session() as session:
        frame_id = register_frame(
            session,
            sha256=measured.sha256,
            former_sha256=measured.former_sha256,
            shape=measured.shape,
            info=measured.info,
            amplifiers=measured.amplifiers,
            statistics=measured.statistics,
            instrument=_entry(home, measured.info),
            night=night,
            window_first_night=first_night,
            window_nights=window_nights,
            identified_with=home.identified_with,
            joined_at=file.changed_at,
            now=now(),
            source=Source(file.id, file.path, measured.file_sha256, says_type=measured.says_type, prevails=prevails),
        )
        if first_night is None:
            retire_runs_of(session, frame_id)
        ledger.finish(session, file.id, owner=owner, frame_id=frame_id, file_sha256=measured.file_sha256, now=now())


def _entry(home: Home, info: ExposureInfo) -> Instrument | None:
    """Return the instrument entry that named the frame's instrument."""
    same = [entry for entry in home.settings.instruments if entry.name == info.instrument]
    return next((entry for entry in same if entry.is_valid_at(info.date_obs)), None)


def _set_aside(
    home: Home,
    owner: str,
    file: FileRow,
    reason: str,
    *,
    rest_until: datetime | None,
    tries: int | None = FILE_TRIES,
) -> None:
    """Put a file into quarantine, or let it rest before it is tried again: so often, or as often as need be."""
    with home.write_session() as session:
        if rest_until is None:
            ledger.quarantine(session, file.id, owner=owner, reason=reason, now=now())
        else:
            ledger.send_back(session, file.id, owner=owner, reason=reason, rest_until=rest_until, most=tries, now=now())
