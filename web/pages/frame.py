"""The page of a frame: a picture of it, what it was taken for and why, what was made of it, what its header says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from sqlalchemy.orm import Session

from db.files.ledger import files_of_frame
from db.frames.listing import frame_statistics, set_of_frame
from db.frames.revisions import Disagreement, disagreements, revisions
from db.judgements.notes import lines_on
from db.provenance import masters_of_frame
from db.runs.inputs import uses_of_frame
from db.runs.masters import list_masters
from db.runs.sets import calibration_set
from web.association import Asked, answer_to
from web.dependencies import OfRecord, Reading, Record
from web.files.opening import places_of_frame
from web.files.shown import OfShown
from web.pages.details import of_record, run_on_record
from web.parameters import Id
from web.templating import page

router = APIRouter()


@router.get("/frames/{key}")
def one_frame(request: Request, session: Reading, record: OfRecord, shown: OfShown, key: Id) -> Response:
    """A frame: what it was taken for and why, its statistics, its files, the runs that used it."""
    tree = of_record(session, f"frame:{key}")
    made = set(masters_of_frame(session, key))
    places = places_of_frame(session, key, host=record.host)
    uses = uses_of_frame(session, key)
    set_id = set_of_frame(session, key)
    is_science = tree["kind"] == "other frame"
    cards: Mapping[str, str] = {}
    unread = None
    try:
        cards = shown.cards(places, f"frame {key}")
    except HTTPException as error:
        unread = error.detail
    return page(
        request,
        "frame.html",
        disagreement=_disagreement(session, record, key),
        revisions=revisions(session, key),
        key=key,
        frame=tree,
        suited=answer_to(session, record, Asked(frame=str(key))) if is_science else None,
        set=None if set_id is None else calibration_set(session, set_id),
        no_set=_why_in_no_set(tree),
        files=[one for one, _ in files_of_frame(session, key, host=record.host) if one.reason],
        said=lines_on(session, "frame", [key]).get(key, []),
        statistics=frame_statistics(session, key),
        cards=cards,
        unread=unread,
        uses=uses,
        runs={run_id: run_on_record(session, run_id) for run_id in dict.fromkeys(one.run_id for one in uses)},
        masters=[one for one in list_masters(session, superseded=True) if one.master_id in made][::-1],
    )


@router.get("/frames/{key}/pictures/{name}.png")
def frame_picture(
    session: Reading, record: OfRecord, shown: OfShown, key: Id, name: Literal["frame", "histogram"]
) -> Response:
    """The frame between its ZScale limits, or how its pixel values are distributed."""
    n_pixels = max((one.get("n_pixels", 0) for one in frame_statistics(session, key)), default=0)
    look = shown.frame(places_of_frame(session, key, host=record.host), f"frame {key}", n_pixels)
    return Response(look.frame if name == "frame" else look.histogram, media_type="image/png")


def _why_in_no_set(frame: Mapping[str, Any]) -> str:
    if frame["kind"] == "other frame":
        return "it is no calibration frame"
    if frame["date_obs"] is None:
        return "nothing tells when it was taken"
    return f"its date, {datetime.fromisoformat(frame['date_obs']):%Y-%m-%d}, is not believed"


def _disagreement(session: Session, record: Record, key: int) -> Disagreement | None:
    """Return what the files of a frame say otherwise than is in force, going by files that are there."""
    found = disagreements(session, [key])
    sayings = [saying for one in found for saying in one.sayings]
    there = {one.file_id: one.host != record.host or one.path.exists() for one in sayings}
    return next(filter(None, (one.among(there) for one in found)), None)
