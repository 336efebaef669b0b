"""How all instruments stand, on one page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request, Response

from ccdcore.quantities import GRAVITY
from web.dependencies import OfRecord, Reading
from web.instrument_status import COLUMNS, by_instrument
from web.templating import page

router = APIRouter()


MOST_WAITING = 12
MOST_CONCERNS = 8


@router.get("/")
def overview(request: Request, session: Reading, record: OfRecord) -> Response:
    """Every instrument and amplifier, below how the service does and what waits."""
    instruments = by_instrument(session)
    lines = [line for instrument in instruments for line in instrument.lines]
    return page(
        request,
        "overview.html",
        instruments=instruments,
        columns=COLUMNS,
        counts=Counter(line.verdict for line in lines),
        troubled=sorted(
            (line for line in lines if line.verdict in {"bad", "suspect"}), key=lambda line: GRAVITY.index(line.verdict)
        ),
        **_as_it_is(record),
    )


@router.get("/now")
def as_it_is(request: Request, record: OfRecord) -> Response:
    """How the service does and what waits, alone: the overview asks for it again and again."""
    return page(request, "now.html", **_as_it_is(record))


def _as_it_is(record: OfRecord) -> dict[str, Any]:
    waiting = record.waiting()
    return {
        "health": record.health(),
        "most_concerns": MOST_CONCERNS,
        "waiting": waiting[:MOST_WAITING],
        "n_waiting": len(waiting),
    }
