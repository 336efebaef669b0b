"""The files that pages lead to: handed out only where they lie where they should, by no link, and as on record."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path, PurePath

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from ccdcore.compression import COMPRESSIONS
from ccdcore.io.plain_files import open_below
from db.errors import UnknownIdError
from db.files.ledger import files_of_frame
from db.provenance import provenance
from web.dependencies import OfRecord, Reading, Record
from web.parameters import Id

router = APIRouter()

FITS = "application/fits"
_FITS_BEGINS = (b"SIMPLE", *(one.magic for one in COMPRESSIONS))
"""A FITS file, and one that is compressed."""
_PNG_BEGINS = (b"\x89PNG\r\n",)
_CHUNK = 2**20


@router.get("/runs/{key}/pictures/{name}")
def picture(record: OfRecord, key: Id, name: str) -> Response:
    """A picture of a run."""
    for path in record.pictures(key):
        if path.name == name and (stream := _opened(record.home, path.relative_to(record.home), _PNG_BEGINS)):
            return _sent(stream, "image/png", {"Cache-Control": "max-age=86400"})
    raise HTTPException(404, f"run {key} has no picture {name}")


@router.get("/masters/{key}/fits")
def master_file(session: Reading, record: OfRecord, key: Id) -> Response:
    """The FITS file of a master."""
    try:
        tree = provenance(session, f"master:{key}")
    except UnknownIdError as error:
        raise HTTPException(404, f"master {key} is not on record") from error
    place = PurePath(tree["path"])
    return _download([(*_of_master(record, place), place.name, tree["sha256"])], f"master {key}")


@router.get("/frames/{key}/fits")
def frame_file(session: Reading, record: OfRecord, key: Id) -> Response:
    """The raw file of a frame, as it is on this machine."""
    files = files_of_frame(session, key, host=record.host)
    found = [(Path(one.root), PurePath(one.relative_path), one.path.name, sha256) for one, sha256 in files]
    return _download(found, f"frame {key}")


def master_is_there(record: Record, path: str) -> bool:
    """Whether the file of a master is where it should be."""
    return _is_there(*_of_master(record, PurePath(path)))


def frame_is_there(session: Session, record: Record, frame_id: int) -> bool:
    """Whether a file of a frame is on this machine where it should be."""
    files = files_of_frame(session, frame_id, host=record.host)
    return any(_is_there(Path(one.root), PurePath(one.relative_path)) for one, _ in files)


def _of_master(record: Record, place: PurePath) -> tuple[Path, PurePath]:
    """Return the folder of all masters, which may be a link to another disk, and where below it one lies."""
    below = place.relative_to("masters") if place.parts[:1] == ("masters",) else PurePath("..")
    return record.home / "masters", below


def _is_there(root: Path, below: PurePath) -> bool:
    stream = _opened(root, below, _FITS_BEGINS)
    if stream is None:
        return False
    stream.close()
    return True


def _opened(root: Path, below: PurePath, begins: tuple[bytes, ...]) -> io.BufferedReader | None:
    """Open a file that lies below a folder, is reached by no link, and begins as one of its kind does."""
    try:
        stream = open_below(root, below)
    except (OSError, ValueError):
        return None
    if stream.read(max(map(len, begins))).startswith(begins):
        stream.seek(0)
        return stream
    stream.close()
    return None


def _download(places: list[tuple[Path, PurePath, str, str | None]], what: str) -> Response:
    """Send the first file that is as on record: what was looked at, whatever has its name by then."""
    has_changed = False
    for root, below, name, sha256 in places:
        if (stream := _opened(root, below, _FITS_BEGINS)) is None:
            continue
        if hashlib.file_digest(stream, "sha256").hexdigest() == sha256:
            stream.seek(0)
            plain = name.encode("ascii", "replace").decode().replace('"', "_")
            return _sent(stream, FITS, {"Content-Disposition": f'attachment; filename="{plain}"'})
        stream.close()
        has_changed = True
    if has_changed:
        raise HTTPException(409, f"the file of {what} is not as on record any more: ccdwatch audit says more")
    raise HTTPException(404, f"the file of {what} is not on this machine any more, or is reached by a link only")


def _sent(stream: io.BufferedReader, media_type: str, headers: dict[str, str]) -> Response:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return StreamingResponse(
        _chunks(stream, size), media_type=media_type, headers={**headers, "Content-Length": str(size)}
    )


def _chunks(stream: io.BufferedReader, size: int) -> Iterator[bytes]:
    """Give what the file held when it was opened; of one that grows no more, so that the length stays true."""
    with stream:
        while size > 0 and (chunk := stream.read(min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
