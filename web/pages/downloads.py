"""The files that pages lead to: handed out only where they lie where they should, by no link, and as on record."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import StreamingResponse

from db.errors import UnknownIdError
from db.provenance import provenance
from web.dependencies import OfRecord, Reading
from web.files.opening import PNG_BEGINS, Hashes, Place, as_on_record, opened, place_of_master, places_of_frame
from web.parameters import Id

router = APIRouter()

FITS = "application/fits"
_CHUNK = 2**20


@router.get("/runs/{key}/pictures/{name}")
def picture(record: OfRecord, key: Id, name: str) -> Response:
    """A picture of a run."""
    for _, path in record.pictures(key) or ():
        if path.name == name and (stream := opened(record.home, path.relative_to(record.home), PNG_BEGINS)):
            return _sent(stream, "image/png", {"Cache-Control": "max-age=86400"})
    raise HTTPException(404, f"run {key} has no picture {name}")


@router.get("/masters/{key}/fits")
def master_file(session: Reading, record: OfRecord, key: Id) -> Response:
    """The FITS file of a master."""
    try:
        tree = provenance(session, f"master:{key}")
    except UnknownIdError as error:
        raise HTTPException(404, f"master {key} is not on record") from error
    return _download([place_of_master(record.home, tree["path"], tree["sha256"])], f"master {key}")


@router.get("/frames/{key}/fits")
def frame_file(session: Reading, record: OfRecord, key: Id) -> Response:
    """The raw file of a frame, as it is on this machine."""
    return _download(places_of_frame(session, key, host=record.host), f"frame {key}")


def _download(places: Sequence[Place], what: str) -> Response:
    """Send the first file that is as on record; its bytes are looked at each time."""
    stream, place = as_on_record(places, what, Hashes())
    plain = place.below.name.encode("ascii", "replace").decode().replace('"', "_")
    return _sent(stream, FITS, {"Content-Disposition": f'attachment; filename="{plain}"'})


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
