"""How all instruments stand, on one page."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter, Request, Response

from ccdcore.quantities import GRAVITY
from web.dependencies import Reading
from web.instrument_status import COLUMNS, by_instrument
from web.templating import page

router = APIRouter()


@router.get("/")
def overview(request: Request, session: Reading) -> Response:
    """Every instrument and amplifier."""
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
    )
