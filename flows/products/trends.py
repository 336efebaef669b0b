"""What a run adds to the trends: drawn with the new points marked, and told where it is news."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from textwrap import shorten

from ccdcore.figures.style import png
from ccdcore.figures.trend import trend
from ccdcore.io.write import write_bytes
from ccdcore.quantities import WATCHED, Limits, label_of
from db.judgements.notes import notes_that_hold
from db.runs.measurements import BORROWED
from db.trends.changes import changes
from db.trends.history import TrendRow, trends
from flows.home.home import Home
from flows.home.processes import now
from flows.runs.lacks import producing
from flows.runs.news import raise_notices
from flows.runs.pictures import trend_picture
from flows.runs.run import Run

DRAWN = timedelta(days=730)
"""How far back pictures of trends look."""
_MOST_POINTS = 400
_MOST_NOTES = 5


def judge_trends(run: Run) -> list[int]:
    """Draw the trends that a run added to, and put on record what people are to be told of them."""
    if run.is_drawn:
        draw_trends(run)
    # Whoever is told sees the pictures: they are there first.
    camera = run.row
    with producing(run, "alerts"), run.home.write_session() as session:
        raise_notices(
            session, run_id=run.id, instrument=camera.instrument, configuration=camera.configuration, now=now()
        )
    return []


def draw_trends(run: Run, *, until: datetime | None = None) -> None:
    """Draw the trends that a run added to, up to a time, or as they are now."""
    camera = run.row
    measured = {row.quantity for row in run.measured if row.method != BORROWED}
    for quantity in WATCHED:
        if quantity not in measured:
            continue
        with producing(run, f"picture of the trend of the {label_of(quantity)}"):
            picture = draw_trend(
                run.home,
                quantity,
                instrument=camera.instrument,
                configuration=camera.configuration,
                run_id=run.id,
                until=until,
            )
            run.home.require_there()
            place = run.home.path / trend_picture(run.id, quantity)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, picture)


def draw_trend(
    home: Home,
    quantity: str,
    *,
    instrument: str,
    configuration: str,
    run_id: int | None = None,
    until: datetime | None = None,
) -> bytes:
    """Return a picture of the last two years of a quantity as PNG: changes, and a run's points if they are the last.

    What was observed at ``until`` or later is not in it, if given.
    """
    with home.read_session() as session:
        rows = trends(
            session,
            quantity=quantity,
            instrument=instrument,
            configuration=configuration,
            until=until,
            at_most=_MOST_POINTS,
        )
        found = changes(session, quantity=quantity, instrument=instrument, configuration=configuration)
        notes = notes_that_hold(session, instrument, until=rows[-1].observed_at)[-_MOST_NOTES:]
    known = [one for one in found if until is None or one.found_at < until]
    lines = [(one.first_at, f"{one.kind}, amplifier {one.amplifier}") for one in known]
    return trend_png(
        [row for row in rows if row.observed_at >= rows[-1].observed_at - DRAWN],
        changes=[*lines, *((one.at, shorten(one.words, 40)) for one in notes if one.at is not None)],
        run_id=run_id,
        title=f"{instrument}: {label_of(quantity)}",
    )


def trend_png(
    rows: Sequence[TrendRow],
    *,
    changes: Sequence[tuple[datetime, str]] = (),
    run_id: int | None = None,
    title: str | None = None,
) -> bytes:
    """Return a picture of measurements of one quantity as PNG."""
    last = rows[-1]
    instruments = {row.instrument for row in rows}
    points = [
        (
            row.observed_at,
            row.value,
            row.uncertainty,
            row.amplifier if len(instruments) == 1 else f"{row.instrument} {row.amplifier}",
        )
        for row in rows
    ]
    return png(
        trend(
            points,
            quantity=label_of(last.quantity),
            unit=last.unit,
            limits=Limits(last.limit_min, last.limit_max),
            title=title,
            marked=[number for number, row in enumerate(rows) if row.run_id == run_id],
            hollow=[number for number, row in enumerate(rows) if not row.counts],
            changes=changes,
        )
    )
